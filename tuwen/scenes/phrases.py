"""The sentences that captions, questions, answers and reasons are made of, in Chinese and English."""

from __future__ import annotations

# {things} is the counted list.
PHOTOS = {
    "zh": (
        "一张有{things}的图片",
        "图片里有{things}",
        "图中可以看到{things}",
        "画面中有{things}",
        "一幅画着{things}的插图",
    ),
    "en": (
        "a picture of {things}",
        "an illustration of {things}",
        "a picture that shows {things}",
        "there {is} {things} in the picture",
        "we can see {things} here",
    ),
}
BACKGROUND_FORMS = {
    "zh": ("{place}有{things}", "{place}的{things}", "{things}，背景是{name}"),
    "en": ("{things} {place}", "{place} there {is} {things}", "{things}, with {name} behind"),
}
SIZE_WORDS = {"zh": {"big": "大", "small": "小"}, "en": {"big": "big", "small": "small"}}
# {thing} a name, {things} counted things, {measure} a measure word, {place} and {background} as their tables have them.
QUESTIONS = {
    "zh": {
        "what": "图中有什么？",
        "what at": "{place}是什么？",
        "how many": "图中有几{measure}{thing}？",
        "how many things": "图中一共有几样东西？",
        "where": "{thing}在哪里？",
        "is there": "图中有{thing}吗？",
        "colour": "背景是什么颜色？",
        "background": "背景是什么？",
        "larger": "{thing}和{other}哪个更大？",
    },
    "en": {
        "what": "what is in the picture?",
        "what at": "what is {place}?",
        "how many": "how many {things} are there?",
        "how many things": "how many things are in the picture?",
        "where": "where {is} the {thing}?",
        "is there": "is there {thing} in the picture?",
        "colour": "what colour is the background?",
        "background": "what is the background?",
        "larger": "which is larger, the {thing} or the {other}?",
    },
}
ANSWERS = {"zh": {"yes": "有", "no": "没有"}, "en": {"yes": "yes", "no": "no"}}
# The answer as a whole sentence.
SENTENCES = {
    "zh": {
        "what": "图中有{things}。",
        "at": "{place}是{things}。",
        "total": "图中一共有{number}样东西。",
        "yes": "有，图中有{things}。",
        "no": "没有，图中没有{thing}。",
        "background": "背景是{background}。",
        "larger": "{thing}更大。",
    },
    "en": {
        "what": "there {is} {things} in the picture.",
        "at": "there {is} {things} {place}.",
        "total": "there {is} {number} in the picture.",
        "yes": "yes, there {is} {things} in the picture.",
        "no": "no, there is no {thing} in the picture.",
        "background": "the background is {background}.",
        "larger": "the {thing} is larger.",
    },
}
REASONS = {
    "zh": {
        "present": "因为图中画着{things}",
        "at": "因为{things}画在{place}",
        "in front": "因为{things}后面是{background}",
    },
    "en": {
        "present": "because {things} can be seen",
        "at": "because {things} can be seen {place}",
        "in front": "because {background} is behind {things}",
    },
}
