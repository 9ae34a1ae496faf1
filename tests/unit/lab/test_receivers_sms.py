"""The fake of SMS: boto3 against moto's SNS behind a check of signatures, over verified TLS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.fakes.receivers.aws import Signatures, Sms
from lab.fakes.receivers.record import Record
from lab.fakes.receivers.settings import TOPICS
from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates
from tests.unit.lab.receivers_fakes import TOPIC, Fakes


def sns(receivers: Fakes, region: str = "ap-northeast-1", **changes: str) -> Any:
    return boto3.client(
        "sns",
        region_name=region,
        endpoint_url=receivers.base,
        verify=receivers.ca,
        config=Config(retries={"max_attempts": 1}),
        **{
            "aws_access_key_id": receivers.secrets.aws_key,
            "aws_secret_access_key": receivers.secrets.aws_secret,
            **changes,
        },
    )


def test_sms_takes_the_real_clients_messages(all_fakes: Fakes) -> None:
    text = "[CRITICAL 緊急] Disk & more = 90%\nops ack Disk/a=b"
    attributes = {"truncated": {"DataType": "String", "StringValue": "true"}}
    sent = sns(all_fakes).publish(TopicArn=TOPIC, Message=text, MessageAttributes=attributes)
    sns(all_fakes).publish(TargetArn=TOPIC, Message=text, Subject="subject")
    first, second = all_fakes.record.since()
    assert (first.audience, first.title) == (TOPIC, "[CRITICAL 緊急] Disk & more = 90%")
    assert (first.body["message"], first.body["message_id"]) == (text, sent["MessageId"])
    assert first.body["attributes"]["truncated"]["Value"] == "true"
    assert (second.title, second.body["subject"]) == ("subject", "subject")


@pytest.mark.parametrize(
    ("changes", "call", "code"),
    [
        ({"aws_secret_access_key": "other"}, {}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIAOTHER"}, {}, "InvalidClientTokenId"),
        ({}, {"TopicArn": TOPIC.replace("operators", "nobody")}, "NotFound"),
        ({"region": "us-east-1"}, {}, "NotFound"),
        ({}, {"TopicArn": "garbage"}, "NotFound"),
        ({}, {"Subject": "two\nlines"}, "InvalidParameter"),
        ({}, {"Subject": "x" * 101}, "InvalidParameter"),
        ({}, {"Message": ""}, "InvalidParameter"),
        ({}, {"Message": "x" * 262_145}, "InvalidParameter"),
    ],
)
def test_sms_refuses_what_aws_refuses(
    all_fakes: Fakes, changes: dict[str, str], call: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as raised:
        sns(all_fakes, **changes).publish(**{"TopicArn": TOPIC, "Message": "x", **call})
    assert raised.value.response["Error"]["Code"] == code
    assert all_fakes.record.since() == []


def test_sms_keys_may_publish_only(all_fakes: Fakes) -> None:
    with pytest.raises(ClientError, match="not authorized to perform: SNS:CreateTopic"):
        sns(all_fakes).create_topic(Name="mine")
    with pytest.raises(ClientError, match="no value for required parameter"):
        sns(all_fakes).publish(PhoneNumber="+819012345678", Message="x")


def unsigned(environ: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in environ.items() if key != "HTTP_AUTHORIZATION"}


def cut(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "HTTP_AUTHORIZATION": environ["HTTP_AUTHORIZATION"][:-1]}


def redated(environ: dict[str, Any]) -> dict[str, Any]:
    moment = environ["HTTP_X_AMZ_DATE"]
    return {**environ, "HTTP_X_AMZ_DATE": moment[:-3] + ("11Z" if moment[-3:] != "11Z" else "22Z")}


def undated(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "HTTP_X_AMZ_DATE": environ["HTTP_X_AMZ_DATE"][:8]}


def elsewhere(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "PATH_INFO": "/other"}


def with_query(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "QUERY_STRING": "Action=Publish"}


def for_s3(environ: dict[str, Any]) -> dict[str, Any]:
    return {**environ, "HTTP_AUTHORIZATION": environ["HTTP_AUTHORIZATION"].replace("/sns/", "/s3/")}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda environ: environ, None),
        (unsigned, "MissingAuthenticationToken"),
        (cut, "IncompleteSignature"),
        (redated, "SignatureDoesNotMatch"),
        (undated, "SignatureDoesNotMatch"),
        (elsewhere, "SignatureDoesNotMatch"),
        (with_query, "SignatureDoesNotMatch"),
        (for_s3, "SignatureDoesNotMatch"),
    ],
)
def test_a_signature_is_for_one_request(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], code: str | None
) -> None:
    environ, body = signed_request(tmp_path)
    refusal = Signatures("AKIAX", "secret", service="sns").refusal(change(environ), body)
    assert (refusal.code if refusal else None) == code
    if code is None:
        other = Signatures("AKIAX", "secret", service="sns").refusal(environ, body + b"x")
        assert other is not None
        assert other.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(("minutes", "fresh"), [(-20, False), (-10, True), (10, True), (20, False)])
def test_a_signature_is_for_a_quarter_of_an_hour(tmp_path: Path, minutes: int, fresh: bool) -> None:
    environ, body = signed_request(tmp_path)
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    refusal = Signatures("AKIAX", "secret", service="sns", clock=lambda: moment).refusal(environ, body)
    assert (refusal is None) == fresh


def signed_request(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What boto3 sends, as a server sees it."""
    seen: list[tuple[dict[str, Any], bytes]] = []

    def catch(environ: dict[str, Any], start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        seen.append((environ, body))
        start("403 Forbidden", [])
        return [b"<ErrorResponse><Error><Code>Seen</Code></Error></ErrorResponse>"]

    write_certificates(folder)
    server = HttpsServer("127.0.0.1", 0, folder / "tls.crt", folder / "tls.key", catch)
    server.start()
    client = boto3.client(
        "sns",
        region_name="ap-northeast-1",
        aws_access_key_id="AKIAX",
        aws_secret_access_key="secret",
        endpoint_url=f"https://localhost:{server.server_port}",
        verify=str(folder / "ca.crt"),
    )
    with pytest.raises(ClientError):
        client.publish(TopicArn=TOPIC, Message="x")
    server.stop()
    return seen[0]


def test_two_fakes_of_sms_do_not_share_messages() -> None:
    records = Record(), Record()
    first, second = (Sms(record, TOPICS, None) for record in records)
    for fake in (first, second, second):
        answer = fake.call(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/",
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "1",
                "wsgi.url_scheme": "https",
                "CONTENT_TYPE": "application/x-www-form-urlencoded",
                "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=a/20260101/ap-northeast-1/sns/aws4_request, x",
                "CONTENT_LENGTH": str(len(body := f"Action=Publish&TopicArn={TOPIC}&Message=x".encode())),
            },
            body,
        )
        assert answer.accepted, answer.content
    assert [len(record.since()) for record in records] == [1, 2]
