"""What one client does with extended query tags: it adds and deletes them, and looks whether they are ready."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.torture.bodies import QUERY_TAGS
from tests.torture.requests import JSON, Requests, as_json


@dataclass(slots=True)
class QueryTagClient:
    """Adds and deletes the tags of the campaign. No other client does. What it asks for may be refused."""

    requests: Requests
    chance: random.Random

    def act(self) -> None:
        """Add or delete one tag."""
        tag = self.chance.choice(QUERY_TAGS)
        if self.chance.random() < 0.7:
            self.add(tag.keyword, tag.level)
        else:
            target = f"/v2/extendedquerytags/{tag.keyword}"
            self.requests.send("tag delete", ("tag", tag.keyword), "DELETE", target, allowed=(204, 404))

    def add(self, keyword: str, level: str) -> int:
        """Add a tag. Return the status."""
        body = as_json([{"path": keyword, "level": level}])
        answer = self.requests.send(
            "tag add",
            ("tag", keyword),
            "POST",
            "/v2/extendedquerytags",
            allowed=(202, 409),
            body=body,
            headers=JSON,
        )
        return answer.status

    def make_ready(self) -> bool:
        """Add the tags that do not exist. Return whether all are ready."""
        statuses = self.statuses()
        for tag in QUERY_TAGS:
            if tag.keyword not in statuses:
                self.add(tag.keyword, tag.level)
        return [statuses.get(tag.keyword) for tag in QUERY_TAGS] == ["ready"] * len(QUERY_TAGS)

    def statuses(self) -> dict[str, str]:
        """Return the status of each tag of the campaign that exists, by keyword. Empty without an answer."""
        found = {}
        for tag in QUERY_TAGS:
            target = f"/v2/extendedquerytags/{tag.keyword}"
            answer = self.requests.send("tag read", ("tag", tag.keyword), "GET", target, allowed=(200, 404))
            if answer.status == 200:
                found[tag.keyword] = answer.json()["status"]
        return found
