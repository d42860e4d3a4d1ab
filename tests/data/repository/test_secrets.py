from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.data.repository.secrets import MASK, mask

RANDOM = "".join(random.Random(0).choices(string.ascii_letters + string.digits, k=40))
# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "AWS access key": "AKIA" + "QWERTYUIOP123456",
    "GitHub token": "ghp" + f"_{RANDOM[:36]}",
    "GitLab token": "glpat" + f"-{RANDOM[:20]}",
    "Slack token": "xoxb" + f"-1234567890-{RANDOM[:20]}",
    "Stripe key": "sk" + f"_live_{RANDOM[:24]}",
    "Google key": "AIza" + RANDOM[:35],
    "model provider's key": "hf" + f"_{RANDOM[:34]}",
    "package registry's token": "npm" + f"_{RANDOM[:36]}",
    "SendGrid key": "SG." + f"{RANDOM[:22]}.{RANDOM[:40]}",
    "Telegram token": "1234567890:" + f"AA{RANDOM[:33]}",
    "JSON web token": "eyJ" + f"{RANDOM[:20]}.eyJ{RANDOM[:20]}.{RANDOM[:30]}",
    "text of high entropy": "aZ9" + RANDOM,
}


@pytest.mark.parametrize("kind", SECRETS)
def test_keys_by_their_shape(kind: str) -> None:
    text, found = mask(f"a = 1\ntext = '{SECRETS[kind]}'  # mine\n")
    assert text == f"a = 1\ntext = '{MASK}'  # mine\n"
    assert found == [(2, kind)]


def test_a_private_key_leaves_its_line_breaks() -> None:
    head, tail = ("-----" + f"{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    body = "\n".join(RANDOM for _ in range(5))
    text, found = mask(f'KEY = """{head}\n{body}\n{tail}"""\nx = 1\n')
    assert text == f'KEY = """{MASK}' + "\n" * 6 + '"""\nx = 1\n'
    assert found == [(1, "private key")]
    cut_off, _ = mask(f'KEY = """{head}\n{body}\n')
    assert RANDOM not in cut_off


@pytest.mark.parametrize(
    "line",
    ["password = 'hunter2hunter2'", 'API_KEY: "k3y-0f-mine!"', '"token" => "t0p-s3cret-9"', "x.secret := `a1b2c3d4e5`"],
)
def test_texts_with_a_telling_name(line: str) -> None:
    _, found = mask(line)
    assert found == [(1, "named password, key or token")]


def test_passwords_in_addresses() -> None:
    text, found = mask("git clone https://anna:" + "geheim@example.org/x.git")
    assert text == f"git clone https://{MASK}@example.org/x.git"
    assert found == [(1, "password in an address")]


@pytest.mark.parametrize(
    "line",
    [
        "password = 'password'",
        "token = get_token(request)",
        "alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'",
        "path = 'some/long/path/to/a/file/in/the/source/tree'",
        "name = 'a_rather_long_name_of_a_function_or_method'",
        "url = 'https://example.org/user:1/list@2'",
        "password = '${PASSWORD}'",
        "x = 1",
    ],
)
def test_what_is_no_secret(line: str) -> None:
    assert mask(line) == (line, [])


@given(st.text(max_size=200), st.sampled_from(sorted(SECRETS)), st.text(max_size=200))
def test_a_secret_between_any_texts_is_gone(before: str, kind: str, after: str) -> None:
    secret = SECRETS[kind]
    text, found = mask(f"{before} '{secret}' {after}")
    assert secret not in text
    assert found
    assert text.count("\n") == f"{before}{after}".count("\n")
