"""Evaluates the functions of a CloudFormation template for parameters, without AWS.

A name or an attribute that only AWS knows becomes a text of its own: the name in a deployed stack, if it is given, and
otherwise the logical name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cfnlint.decode.cfn_yaml import load

ACCOUNT: Final = "123456789012"
_PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "archive",
}
_VARIABLE: Final = re.compile(r"\$\{([^}]+)\}")
_ABSENT: Final = object()
"""The value of `AWS::NoValue`: the property does not exist."""


class Evaluation:
    """The resources of a template for some parameters. The others have their default, or their name as value."""

    def __init__(self, template: Path, parameters: Mapping[str, str], names: Mapping[str, str] | None = None) -> None:
        self._template: dict[str, Any] = load(str(template))
        given = self._template.get("Parameters", {})
        self._values = {name: str(each.get("Default", name)) for name, each in given.items()} | dict(parameters)
        self._types = {name: each["Type"] for name, each in given.items()}
        self._names = names or {}

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return each resource that exists with these parameters, with evaluated properties."""
        return {
            name: {**each, "Properties": self._evaluated(each.get("Properties", {}))}
            for name, each in self._template["Resources"].items()
            if "Condition" not in each or self._condition(each["Condition"])
        }

    def _condition(self, name: str) -> bool:
        return bool(self._evaluated(self._template["Conditions"][name]))

    def _evaluated(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self._evaluated, value) if each is not _ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function in self._FUNCTIONS:
                return self._FUNCTIONS[function](self, argument)
        evaluated = {key: self._evaluated(each) for key, each in value.items()}
        return {key: each for key, each in evaluated.items() if each is not _ABSENT}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        if name in self._values:
            is_list = "List" in self._types[name]
            return [each for each in self._values[name].split(",") if each] if is_list else self._values[name]
        return _PSEUDO.get(name) or self._names.get(name, name)

    def _get_att(self, argument: Any) -> str:
        name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        known = self._names.get(name, name)
        kind = self._template["Resources"][name]["Type"]
        if (kind, attribute) == ("AWS::S3::Bucket", "Arn"):
            return f"arn:aws:s3:::{known}"
        if (kind, attribute) == ("AWS::ECS::Service", "Name"):
            return known.rpartition("/")[2]
        return f"arn:aws:test:eu-west-1:{ACCOUNT}:{name}" if attribute.endswith("Arn") else f"{name}.{attribute}"

    def _sub(self, argument: Any) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument
        values = {key: self._evaluated(each) for key, each in given.items()}

        def replacement(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                return str(values[name])
            return self._get_att(name) if "." in name else str(self._ref(name))

        return _VARIABLE.sub(replacement, text)

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self._evaluated(then if self._condition(condition) else otherwise)

    def _join(self, argument: list[Any]) -> str:
        separator, parts = argument
        return str(separator).join(self._evaluated(parts))

    def _select(self, argument: list[Any]) -> Any:
        index, parts = self._evaluated(argument)
        return parts[int(index)] if int(index) < len(parts) else f"{parts[0]}[{index}]"

    def _split(self, argument: list[Any]) -> list[str]:
        separator, text = self._evaluated(argument)
        return str(text).split(separator)

    def _equals(self, argument: list[Any]) -> bool:
        left, right = self._evaluated(argument)
        return bool(left == right)

    _FUNCTIONS: Final[dict[str, Callable[[Evaluation, Any], Any]]] = {
        "Ref": _ref,
        "Condition": _condition,
        "Fn::GetAtt": _get_att,
        "Fn::Sub": _sub,
        "Fn::If": _if,
        "Fn::Join": _join,
        "Fn::Select": _select,
        "Fn::Split": _split,
        "Fn::Equals": _equals,
        "Fn::And": lambda self, parts: all(self._evaluated(parts)),
        "Fn::Or": lambda self, parts: any(self._evaluated(parts)),
        "Fn::Not": lambda self, parts: not self._evaluated(parts)[0],
    }
