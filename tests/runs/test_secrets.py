"""Tests that secrets stay out of stamps."""

from __future__ import annotations

import pytest

from opv2v_doctor.runs import secrets


def test_the_environment_is_taken_by_an_allow_list() -> None:
    given = {
        "AWS_SECRET_ACCESS_KEY": "x", "HF_TOKEN": "x", "WANDB_API_KEY": "x", "HOME": "/root",
        "NCCL_DEBUG": "INFO", "CUDA_VISIBLE_DEVICES": "0,1", "NCCL_AUTH_TOKEN": "x", "PYTHONPATH": "/a",
    }  # fmt: skip
    assert secrets.environment(given) == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "NCCL_DEBUG": "INFO",
        "PYTHONPATH": "/a",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:pass@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("https://host/a?private_token=abc&b=1", "https://host/a?private_token=<hidden>&b=1"),
        ("plain/path@1", "plain/path@1"),
    ],
)
def test_addresses_lose_their_credentials(text: str, expected: str) -> None:
    assert secrets.without_credentials(text) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+wandb.api_key=abc", "+wandb.api_key=<hidden>"),
        ("storage.password=abc", "storage.password=<hidden>"),
        ("model.num_tokens=4", "model.num_tokens=4"),
        ("model.register_tokens=4", "model.register_tokens=4"),
        ("--verbose", "--verbose"),
        ("data.url=s3://id:key@bucket", "data.url=s3://bucket"),
    ],
)
def test_an_override_with_a_secret_key_hides_its_value(override: str, expected: str) -> None:
    assert secrets.without_secret(override) == expected


def test_a_config_hides_texts_of_secret_keys_only() -> None:
    config = {"a": {"api_key": "abc", "token": 5, "lr": 0.1}, "urls": ["https://u:p@h"], "password": ""}
    hidden = {"a": {"api_key": "<hidden>", "token": 5, "lr": 0.1}, "urls": ["https://h"], "password": ""}
    assert secrets.without_secrets(config) == hidden
