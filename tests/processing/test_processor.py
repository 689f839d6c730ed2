"""Texts and pictures to tensors, and the processor to files and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.processing import pieces, test_byte_bpe
from tests.processing.pictures import noise
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.processing.byte_bpe import ByteBPE
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import NoTokenizer, open_tokenizer
from tuwen.processing.unigram import Unigram
from tuwen.processing.wordpiece import WordPiece

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"一只猫的照片"]
TEXTS = ["一只猫", "", "一只猫的照片", "猫", "狗片一"]


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor(WordPiece(VOCABULARY), ImagePipeline((8, 8)), context_length=7)


def test_texts_are_padded_to_the_longest(processor: Processor) -> None:
    texts = processor.texts(TEXTS)
    assert texts.ids.shape == (5, 7) and texts.ids.dtype == torch.long
    assert texts.ids[0].tolist() == [2, 4, 5, 6, 3, 0, 0]
    assert texts.ids[2].tolist() == [2, 4, 5, 6, 7, 8, 3]  # cut to the context length of 7
    assert texts.mask.sum(dim=1).tolist() == [5, 2, 7, 3, 5]
    assert torch.equal(texts.mask, texts.ids != 0)


def test_a_length_pads_and_cuts(processor: Processor) -> None:
    assert processor.texts(TEXTS, length=4).ids[0].tolist() == [2, 4, 5, 3]
    assert processor.texts(TEXTS, length=12).ids[2].tolist() == [2, 4, 5, 6, 7, 8, 3, 0, 0, 0, 0, 0]


def test_a_long_text_can_be_an_error(processor: Processor) -> None:
    strict = replace(processor, overflow="error")
    with pytest.raises(InputError, match=r"text 3 of 5 \('一只猫的照片'\) has 8 tokens, the model takes 7"):
        strict.texts(TEXTS)
    with pytest.raises(InputError, match=r"text 1 of 1 \('一一.*\.\.\.\) has 52 tokens, the model takes 7"):
        strict.ids(["一" * 50], 9)
    assert strict.ids(TEXTS[:2]) == processor.ids(TEXTS[:2])
    assert strict.ids(TEXTS, 7) == processor.ids(TEXTS, 7)  # who says a length asks for the cut


def test_a_model_that_takes_any_length_cuts_nothing(processor: Processor) -> None:
    endless = replace(processor, context_length=None)
    assert endless.texts(["一" * 90, "猫"]).ids.shape == (2, 92)
    assert endless.texts(["一" * 90, "猫"], 5).ids.tolist() == [[2, 4, 4, 4, 3], [2, 6, 3, 0, 0]]


def test_wrong_settings_are_refused(processor: Processor) -> None:
    with pytest.raises(UsageError, match="context_length is 1, expected at least 2"):
        replace(processor, context_length=1)
    with pytest.raises(UsageError, match="overflow is 'wrap', expected 'cut' or 'error'"):
        replace(processor, overflow="wrap")


def test_packing_sorts_by_length_and_says_how_to_go_back(processor: Processor) -> None:
    ids = processor.ids(TEXTS)
    packed, order = processor.packed(ids)
    assert packed.runs == ((1, 2), (1, 3), (2, 5), (1, 7))
    assert packed.starts.tolist() == [0, 2, 5, 10, 15]
    assert packed.positions.tolist() == [*range(2), *range(3), *range(5), *range(5), *range(7)]
    sequences = [piece.tolist() for piece in packed.ids.split([2, 3, 5, 5, 7])]
    assert sequences == [ids[place] for place in order]
    restored = torch.empty(5, dtype=torch.long)
    restored[order] = packed.ids[packed.starts + 1]
    assert restored.tolist() == [row[1] for row in ids]


def test_packing_nothing_is_refused(processor: Processor) -> None:
    for nothing in ([], [[2, 3], []]):
        with pytest.raises(UsageError, match="at least one sequence"):
            processor.packed(nothing)


@pytest.mark.parametrize("count", [1, 5])
def test_images_are_the_normalised_pixels_of_each_picture(processor: Processor, count: int) -> None:
    pictures = [noise(9, 12, seed=seed) for seed in range(count)]
    expected = torch.from_numpy(np.stack([processor.image.pixels(picture) for picture in pictures]))
    assert torch.equal(processor.images(pictures).pixels, processor.image.normalise(expected))


def test_images_name_the_first_bad_picture(processor: Processor) -> None:
    with pytest.raises(InputError, match=r"picture 2 of 3 \(bytes\)"):
        processor.images([noise(8, 8), b"x", b"y"])


def test_one_picture_or_none_is_no_list(processor: Processor) -> None:
    for wrong, message in (([], "empty list"), ("cat.jpg", "is one str"), (Path("cat.jpg"), "is one")):
        with pytest.raises(UsageError, match=message):
            processor.images(wrong)  # type: ignore[arg-type]


def test_pictures_of_different_sizes_make_no_batch(processor: Processor) -> None:
    loose = replace(processor, image=ImagePipeline(8))
    with pytest.raises(UsageError, match="which make no batch"):
        loose.images([noise(8, 8), noise(8, 16)])


def test_saving_and_loading_changes_nothing(processor: Processor, tmp_path: Path) -> None:
    processor.save(tmp_path / "model")
    loaded = Processor.load(tmp_path / "model")
    assert (loaded.image, loaded.context_length) == (processor.image, 7)
    assert loaded.fingerprint() == processor.fingerprint()
    assert loaded.ids(TEXTS) == processor.ids(TEXTS)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["preprocessor.json", "tokenizer.json"]


@pytest.mark.parametrize("kind", [Unigram, ByteBPE])
def test_a_processor_is_kept_with_any_tokenizer(processor: Processor, tmp_path: Path, kind: type) -> None:
    folder = pieces.write(tmp_path).parent if kind is Unigram else test_byte_bpe.write(tmp_path)
    kept = replace(processor, tokenizer=open_tokenizer(folder), context_length=None, overflow="error")
    kept.save(tmp_path / "model")
    loaded = Processor.load(tmp_path / "model")
    assert isinstance(loaded.tokenizer, kind)
    assert (loaded.context_length, loaded.overflow, loaded.fingerprint()) == (None, "error", kept.fingerprint())
    assert torch.equal(loaded.texts(["the dog", "a"]).ids, kept.texts(["the dog", "a"]).ids)


def test_a_processor_kept_before_texts_could_be_too_long_still_opens(processor: Processor, tmp_path: Path) -> None:
    processor.save(tmp_path)
    settings = json.loads((tmp_path / "preprocessor.json").read_text())
    del settings["overflow"]
    (tmp_path / "preprocessor.json").write_text(json.dumps(settings))
    loaded = Processor.load(tmp_path)
    assert (loaded.overflow, loaded.fingerprint()) == ("cut", processor.fingerprint())


def test_fingerprints_tell_processors_apart(processor: Processor) -> None:
    others = [
        replace(processor, context_length=8),
        replace(processor, image=replace(processor.image, resize="fast")),
        replace(processor, tokenizer=WordPiece([*VOCABULARY, "狗"])),
        replace(processor, overflow="error"),
        replace(processor, context_length=None),
    ]
    assert len({one.fingerprint() for one in [processor, *others]}) == 6
    assert replace(processor, image=replace(processor.image, max_pixels=9)).fingerprint() == processor.fingerprint()


def test_files_that_are_not_a_processor_are_named(processor: Processor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessor\.json cannot be read"):
        Processor.load(tmp_path)
    processor.save(tmp_path)
    for content in (
        "{",
        "[]",
        json.dumps({"context_length": 5}),
        json.dumps({"context_length": 5, "image": {"size": "x"}}),
    ):
        (tmp_path / "preprocessor.json").write_text(content)
        with pytest.raises(InputError, match=r"preprocessor\.json is not what tuwen writes"):
            Processor.load(tmp_path)


def test_a_processor_of_pictures_alone_is_saved_without_a_tokenizer_and_refuses_texts(tmp_path: Path) -> None:
    alone = Processor(NoTokenizer(), ImagePipeline((8, 8)))
    alone.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["preprocessor.json"]
    again = Processor.load(tmp_path)
    assert again.fingerprint() == alone.fingerprint()
    assert torch.equal(again.images([noise(9, 7)]).pixels, alone.images([noise(9, 7)]).pixels)
    for ask in (lambda: again.texts(["猫"]), lambda: again.tokenizer.tokens("猫"), lambda: again.tokenizer.decode([1])):
        with pytest.raises(UnsupportedTask, match="takes pictures alone"):
            ask()
