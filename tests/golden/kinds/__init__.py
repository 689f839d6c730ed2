"""The table: family and kind -> what compares a case of it with our numbers."""

from __future__ import annotations

from collections.abc import Callable

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower import (
    answers,
    hf_bare,
    hf_heads,
    hf_layout,
    hf_sizes,
    meter,
    pairs,
    pretrain,
    retrieval,
    tables,
    tokenizer,
    transforms,
    vqa,
)
from tests.golden.kinds.bridgetower import preprocess as bridgetower_preprocess
from tests.golden.kinds.brivl import augment as brivl_augment
from tests.golden.kinds.brivl import effnet, extract, full, grid, losses, moco, roi
from tests.golden.kinds.brivl import preprocess as brivl_preprocess
from tests.golden.kinds.brivl import retrieval as brivl_retrieval
from tests.golden.kinds.brivl import text as brivl_text
from tests.golden.kinds.brivl import tokenize as brivl_tokenize
from tests.golden.kinds.chinese_clip import functions, hf, model, preprocess, tokenize, tools, zeroshot
from tests.golden.kinds.ernie_vil import containers, pipeline, reader, recall_files, retri
from tests.golden.kinds.ernie_vil import images as ernie_images
from tests.golden.kinds.ernie_vil import tokenizer as ernie_tokenizer
from tests.golden.kinds.ernie_vil import towers as ernie_towers
from tests.golden.kinds.vle import files, heads, processor, vcr, vcr_helpers, zero
from tests.golden.kinds.vle import model as vle_model
from tests.golden.kinds.vle import tables as vle_tables

CHECKS: dict[tuple[str, str], Callable[[Case, Expected], None]] = {
    ("bridgetower", "answer_normalization"): answers.check,
    ("bridgetower", "data_tools"): tables.check,
    ("bridgetower", "image_text_matching+position_interpolation"): hf_sizes.check,
    ("bridgetower", "itc+itm+retrieval"): retrieval.check,
    ("bridgetower", "meter"): meter.check,
    ("bridgetower", "model"): hf_bare.check,
    ("bridgetower", "model+masked_lm+image_text_matching+contrastive"): hf_heads.check,
    ("bridgetower", "model+mlm+itm+position_resize+unimodal"): pretrain.check,
    ("bridgetower", "nlvr2"): pairs.check_nlvr2,
    ("bridgetower", "preprocess"): bridgetower_preprocess.check,
    ("bridgetower", "preprocess+masked_lm+image_text_matching"): hf_layout.check,
    ("bridgetower", "snli"): pairs.check_snli,
    ("bridgetower", "tokenize"): tokenizer.check,
    ("bridgetower", "transforms+augmentation"): transforms.check,
    ("bridgetower", "vqa"): vqa.check,
    ("brivl", "augment"): brivl_augment.check,
    ("brivl", "effnet"): effnet.check,
    ("brivl", "extract_xyb"): extract.check,
    ("brivl", "fullsize"): full.check,
    ("brivl", "losses"): losses.check,
    ("brivl", "nmi_grid"): grid.check,
    ("brivl", "preprocess"): brivl_preprocess.check,
    ("brivl", "retrieval"): brivl_retrieval.check,
    ("brivl", "roi"): roi.check,
    ("brivl", "text_only"): brivl_text.check,
    ("brivl", "tokenize"): brivl_tokenize.check,
    ("brivl", "train_moco"): moco.check,
    ("chinese_clip", "functions"): functions.check,
    ("chinese_clip", "hf"): hf.check,
    ("chinese_clip", "model"): model.check,
    ("chinese_clip", "preprocess"): preprocess.check,
    ("chinese_clip", "tokenize"): tokenize.check,
    ("chinese_clip", "tools"): tools.check,
    ("chinese_clip", "zeroshot"): zeroshot.check,
    ("ernie_vil", "container"): containers.check,
    ("ernie_vil", "contrastive_loss"): ernie_towers.check_loss,
    ("ernie_vil", "eval_retri"): retri.check,
    ("ernie_vil", "image_preprocess"): ernie_images.check,
    ("ernie_vil", "infer_and_eval"): pipeline.check,
    ("ernie_vil", "retrieval_tools"): recall_files.check,
    ("ernie_vil", "same_weights"): ernie_towers.check_same_weights,
    ("ernie_vil", "tokenizer"): ernie_tokenizer.check,
    ("ernie_vil", "towers"): ernie_towers.check,
    ("ernie_vil", "tsv_reader"): reader.check,
    ("vle", "containers"): files.check_containers,
    ("vle", "from two towers"): files.check_towers,
    ("vle", "itm"): heads.check_match,
    ("vle", "mlm"): heads.check_words,
    ("vle", "model"): vle_model.check,
    ("vle", "model+boxes"): vle_model.check_boxes,
    ("vle", "pbc"): heads.check_patches,
    ("vle", "position embedding resize"): vle_model.check_sizes,
    ("vle", "pretraining checkpoint"): files.check_pretraining,
    ("vle", "processor"): processor.check,
    ("vle", "vcr batch"): vcr.check_batch,
    ("vle", "vcr_helpers"): vcr_helpers.check,
    ("vle", "vcr_q2a"): vcr.check,
    ("vle", "vcr_qa2r"): vcr.check,
    ("vle", "vqa"): heads.check_answers,
    ("vle", "vqa_data"): vle_tables.check,
    ("vle", "zero_to_fp32"): zero.check,
}
