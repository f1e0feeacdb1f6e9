"""Usage errors in Chinese: the command-line library says them in English only."""

from __future__ import annotations

import re

_WORDS: tuple[tuple[str, str], ...] = (
    (r"Missing command\.", "缺少子命令。"),
    (r"Missing argument '(.+)'\.", "缺少参数 {0}。"),
    (r"Missing (?:option|parameter) '(.+)'\.", "缺少选项 {0}。"),
    (r"No such option: (\S+) \(Possible options: (.+)\)", "没有选项 {0}；相近的有：{1}。"),
    (r"No such option: (\S+?) +Did you mean (.+)\?", "没有选项 {0}；是否要用 {1}？"),
    (r"No such option: (\S+)", "没有选项 {0}。"),
    (r"No such command '(.+?)'\.(?: Did you mean (.+)\?)?", "没有命令 {0}。"),
    (r"Got unexpected extra argument(?:s|\(s\))? \((.+)\)", "多余的参数：{0}。"),
    (r"Option '(.+)' requires an argument\.", "选项 {0} 需要一个值。"),
    (r"Option '(.+)' requires (\d+) arguments\.", "选项 {0} 需要 {1} 个值。"),
    (r"Option '(.+)' does not take a value\.", "选项 {0} 不带值。"),
    (r"Invalid value for '?(.+?)'?: .*is not one of (.+?)\.?", "{0} 的值不对：须为 {1} 之一。"),
    (r"Invalid value for '?(.+?)'?: .*valid integer.*", "{0} 的值不对：须为整数。"),
    (r"Invalid value for '?(.+?)'?: .*greater than or equal to (\S+?)\.?", "{0} 的值不对：不得小于 {1}。"),
    (r"Invalid value for '?(.+?)'?: .*less than or equal to (\S+?)\.?", "{0} 的值不对：不得大于 {1}。"),
    (r"Invalid value for '?(.+?)'?: (.+)", "{0} 的值不对：{1}"),
)


def in_english(sentence: str) -> str:
    """The library's sentence without the word that only its programmers need."""
    return sentence.replace("Value error, ", "")


def in_chinese(sentence: str) -> str:
    """The same in Chinese; as it is where the library says something that is not known here."""
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, sentence, re.DOTALL):
            return words.format(*found.groups())
    return sentence
