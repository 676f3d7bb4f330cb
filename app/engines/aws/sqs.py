"""The `Queue` port on an SQS queue, with long polls.

The redrive policy of the queue moves a message to the dead letters after repeated failure (`infra/template.yaml`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from app.engines.aws.failures import code, translated
from app.storage.table.ports import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS: Final = 300
"""How long a received message is hidden from others."""

_LONGEST_WAIT: Final = 20
_NOT_HELD: Final = frozenset(
    {
        "InvalidParameterValue",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)
"""Answers of SQS when another receiver has the message, when it is done, or when it was hidden for twelve hours."""


class SqsQueue:
    """The queue at `url`."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str, delay: int = 0) -> None:
        """Send a message that is due after `delay` seconds."""
        with translated():
            self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay)

    def receive(self, wait: float = 0) -> Message | None:
        """Return a message, or None after `wait` seconds (whole ones). SQS answers as soon as it has one."""
        with translated():
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=min(int(wait), _LONGEST_WAIT),
                VisibilityTimeout=HIDDEN_SECONDS,
            )
        messages = answer.get("Messages", [])
        return Message(messages[0]["Body"], messages[0]["ReceiptHandle"]) if messages else None

    def extend(self, message: Message, seconds: int) -> Message:
        """Hide a received message for `seconds` from now. This has no effect if another receiver has got it since."""
        with translated():
            try:
                self._client.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
                )
            except ClientError as error:
                if code(error) not in _NOT_HELD:
                    raise
        return message

    def done(self, message: Message) -> None:
        """Remove a received message."""
        with translated():
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def check(self) -> None:
        """Read an attribute of the queue. Raises StorageUnavailable if there is no answer or no such queue."""
        with translated():
            self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
