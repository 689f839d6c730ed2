"""`tuwen eval`: models on datasets, as the papers measure them."""

from __future__ import annotations

import typer

from tuwen.cli import (
    eval_fill,
    eval_ground,
    eval_pairs,
    eval_retrieval,
    eval_suite,
    eval_table,
    eval_two_stage,
    eval_vcr,
    eval_vqa,
    eval_zeroshot,
)

app = typer.Typer(no_args_is_help=True, help="Evaluate models on datasets / 在数据集上评测模型")

COMMANDS = (
    ("retrieval", eval_retrieval.command, "Texts and pictures find each other / 图文检索"),
    ("topk", eval_retrieval.topk, "The nearest of every query / 精确近邻"),
    ("score", eval_retrieval.score, "Recall of a predictions file / 预测文件的召回率"),
    ("zeroshot", eval_zeroshot.command, "Classes by their names alone / 零样本分类"),
    ("two-stage", eval_two_stage.command, "Recall, then rerank, depth by depth / 两阶段检索"),
    ("vqa", eval_vqa.command, "Questions about pictures / 视觉问答"),
    ("vcr", eval_vcr.command, "Answers and their reasons / 视觉常识推理"),
    ("nlvr2", eval_pairs.nlvr2, "Statements about two pictures / 双图陈述"),
    ("snli-ve", eval_pairs.snli_ve, "Does a picture entail a sentence? / 视觉蕴含"),
    ("fill", eval_fill.command, "Masked words / 遮盖词填空"),
    ("ground", eval_ground.command, "Pointing at what a text says / 定位"),
    ("suite", eval_suite.command, "Everything on the bundled scenes / 自带场景全套评测"),
    ("table", eval_table.table, "Runs side by side / 汇总结果表"),
    ("compare", eval_table.compare, "Two runs, query by query / 成对比较"),
    ("sets", eval_table.sets, "Sets that are known by name / 已知数据集"),
)
for name, function, short in COMMANDS:
    app.command(name, short_help=short)(function)
