"""What evaluators note of a run, in Chinese for its page: sentences whose numbers and names may be any."""

from __future__ import annotations

import re
from functools import cache

# English as the evaluators write it, {} being any words -> Chinese, {0} being the first of them.
SENTENCES = {
    # what was left out
    "{} captions name no picture and are left out": "{0} 条描述没有对应的图片，已略去",
    "{} captions are said of the same picture before: left out": "{0} 条描述此前已用于同一图片，已略去",
    "{} texts have no boxes: they count in no figure": "{0} 条文本没有框，不计入任何指标",
    "{} texts are empty or name no picture that can be read: they are left out": (
        "{0} 条文本为空，或没有可读的图片，已略去"
    ),
    "{} texts name no picture that could be read: they count as no queries": "{0} 条文本没有可读的图片，不作为查询",
    "{} texts name no picture that could be read: they count as misses": "{0} 条文本没有可读的图片，算作未命中",
    "{} pictures are named by no text: they can be found, but are no queries": (
        "{0} 张图片没有对应的文本：可以被搜到，但不作为查询"
    ),
    "{} pictures could not be read: they cannot be found": "{0} 张图片读不了，不会被搜到",
    "{} pictures are of no known class: they count in no figure": "{0} 张图片不属于任何已知类别，不计入任何指标",
    "{} statements do not say whether they are true: they count in no figure": (
        "{0} 条陈述没有标明真假，不计入任何指标"
    ),
    "{} hypotheses have no label: they count in no figure": "{0} 条假设没有标签，不计入任何指标",
    "{} questions do not say what is right: they count in no figure": "{0} 道题没有标明正确答案，不计入任何指标",
    "{} questions name no picture and are left out": "{0} 个问题没有对应的图片，已略去",
    "{} questions have no answer that the model knows: they count in no figure": (
        "{0} 个问题的答案模型都不认识，不计入任何指标"
    ),
    "{} questions have no answers to compare with: they count in no figure": (
        "{0} 个问题没有可比较的答案，不计入任何指标"
    ),
    "{} queries have no right answer: left out": "{0} 个查询没有正确答案，已略去",
    # how it was counted
    "the shortest list has {} predictions: recall at more counts what is there": (
        "最短的列表只有 {0} 个预测：更深的召回率只计已有的"
    ),
    "types of answers are told by the most frequent answer: the dataset names none": (
        "数据集没有答案类型，按最常见的答案判断"
    ),
    "{} names stand for more than one class, whose pictures cannot be told apart: {}": (
        "{0} 个名称对应多个类别，其图片无法区分：{1}"
    ),
    "there are no names of the classes in '{}': the ones there are were used": (
        "没有语言 {0} 的类别名称，使用了已有的名称"
    ),
    "{} parts, each asked by itself: figures are over the queries of all": ("分 {0} 部分各自评测，指标按全部查询计算"),
    "{} of {} rows repeat a picture: this protocol calls the picture's other texts wrong; without it pictures are "
    "grouped by their ids": (
        "{1} 行中有 {0} 行的图片重复：此协议把该图片的其他文本算作错误；不用此协议时图片按编号归组"
    ),
    "the original's script refuses a gallery of fewer than {}": "原版脚本拒绝少于 {0} 个候选的数据",
    "the original's script stops at {} rows: it wants a multiple of 10": (
        "原版脚本遇到 {0} 行会中止：它要求行数是 10 的倍数"
    ),
    "one search: {} ms to find candidates, then {} ms for the text and for each candidate {} ms for its picture, "
    "unless its state is kept, and {} ms to match": (
        "一次搜索：召回 {0} 毫秒，文本 {1} 毫秒；每个候选的图片 {2} 毫秒（已保存状态时免去），匹配 {3} 毫秒"
    ),
    # known sets
    "results on {} are published on its first {} pictures: --first {}": (
        "{0} 上已发表的结果只用前 {1} 张图片：--first {2}"
    ),
    "{} ids of pictures are named by texts, but there are no such pictures: {}": (
        "文本提到 {0} 个图片编号，但没有这些图片：{1}"
    ),
    "{} has no split '{}', only {}: nothing is compared": "{0} 没有划分 {1}，只有 {2}：不作比较",
    "expected {} pictures in {}, found {}": "{1} 应有 {0} 张图片，实有 {2}",
    "expected {} texts in {}, found {}": "{1} 应有 {0} 条文本，实有 {2}",
    "others could not reproduce {} of {} and found {}": "他人未能复现 {1} 的 {0}，得到的是 {2}",
    "ELEVATER tells the mean over classes of this set, mean_per_class; Chinese-CLIP's script the plain share, top1": (
        "ELEVATER 在此数据集上给出各类平均（mean_per_class），Chinese-CLIP 的脚本给出总的比例（top1）"
    ),
    "ELEVATER tells the 11-point mAP of this set, which plain accuracy is not": (
        "ELEVATER 在此数据集上给出 11 点 mAP，与普通准确率不同"
    ),
    # tables
    "{} pictures, {} texts": "{0} 张图片，{1} 条文本",
    "the first figure of each": "每张表的第一个指标",
    "{} and {} are not compared: {}": "{0} 与 {1} 未作比较：{2}",
    "the runs answered other queries ({}: {} and {}, {} in both): compare runs of one set and split in which the same "
    "rows could be read": "两次结果的查询不同（{0}：{1} 与 {2}，共同的 {3}）",
    "{} and {} have no figure in common that is made of queries": "{0} 与 {1} 没有由查询构成的共同指标",
}


def note(text: str) -> str:
    """A note in Chinese; as it is, where no sentence is like it."""
    for pattern, chinese in _patterns():
        found = pattern.fullmatch(text)
        if found:
            return chinese.format(*map(note, found.groups()))
    return text


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), chinese)
        for english, chinese in SENTENCES.items()
    ]
