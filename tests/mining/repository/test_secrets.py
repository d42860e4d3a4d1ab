from __future__ import annotations

import json
import random
import string
import time
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository_secrets import CLEAN, ESCAPED, FORMS, FURTHER, PREFIXES, SPLIT_FORMS

from telly.mining.repository.secret_issuers import ISSUERS
from telly.mining.repository.secret_values import Strength, is_secret, strength
from telly.mining.repository.secrets import MASK, mask, secret_spans

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


@given(st.text(max_size=200), st.sampled_from(sorted(SECRETS)), st.text(max_size=200))
def test_a_secret_between_any_texts_is_gone(before: str, kind: str, after: str) -> None:
    secret = SECRETS[kind]
    text, found = mask(f"{before} '{secret}' {after}")
    assert secret not in text
    assert found
    assert text.count("\n") == f"{before}{after}".count("\n")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_issuers_prefix(prefix: str) -> None:
    kind, body, hidden = PREFIXES[prefix]
    shown = "" if hidden else prefix
    text, found = mask(f"first\nsee {prefix}{body} here")
    assert found == [(2, kind)]
    assert text.replace(MASK, "") == f"first\nsee {shown} here"
    assert prefix + body not in text


def test_every_prefix_of_the_table_has_an_example() -> None:
    marks = {prefix for issuer in ISSUERS for prefix in issuer.prefixes}
    assert marks <= {mark for prefix in PREFIXES for mark in marks if mark in prefix}
    assert len(PREFIXES) >= len(marks)


VALUES = ("q7Vx92LmTz4K", "Xk83-vPq0_zL")


@pytest.mark.parametrize(
    ("language", "form"), [(language, form) for language, forms in FORMS.items() for form in forms]
)
def test_every_form_of_assignment(language: str, form: str) -> None:
    for value in VALUES:
        source = f"begin();\n{form.replace('§', value)}\nend();\n"
        text, found = mask(source)
        assert value not in text
        assert MASK in text
        assert text.count("\n") == source.count("\n")
        assert text.startswith("begin();\n") and text.endswith("\nend();\n")
        assert found[0][0] in range(2, 3 + form.count("\n"))


@pytest.mark.parametrize("form", FURTHER)
def test_further_forms(form: str) -> None:
    text, _ = mask(form.replace("§", VALUES[0]))
    assert VALUES[0] not in text
    assert MASK in text


@pytest.mark.parametrize(("form", "parts"), SPLIT_FORMS)
def test_parts_of_one_secret(form: str, parts: tuple[str, ...]) -> None:
    text, _ = mask(form.format(*parts))
    assert text == form.format(*[MASK for _ in parts])


@pytest.mark.parametrize(("form", "value"), ESCAPED)
def test_escapes_in_a_secret(form: str, value: str) -> None:
    assert mask(form.replace("§", value))[0] == form.replace("§", MASK)


@pytest.mark.parametrize(
    "value",
    [
        *("hunter2", "swordfish", "letmein!", "12345678", "P@ssw0rd", "Tr0ub4dor&3", "admin123", "geheim$parole"),
        *("my_super_secret_pw1", "correct horse battery staple", "correct-horse-battery-staple", "s3cr3t", "4711"),
    ],
)
def test_weak_passwords(value: str) -> None:
    for form in ("password = '§'", "DB_PASSWORD: str = '§'", "connect(passwd='§')", "{'password': '§', 'x': 1}"):
        assert mask(form.replace("§", value))[0] == form.replace("§", MASK)


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_no_secret(text: str) -> None:
    assert mask(text) == (text, [])


def test_ordinary_code_is_left_alone() -> None:
    """Of 1,500 functions of CPython's standard library one is masked: `passwd = passwd + 'anonymous@'` in ftplib."""
    found = []
    for split in ("valid", "test"):
        rows = (files("telly") / "data" / "sample" / f"{split}.jsonl").read_text().splitlines()
        codes = [json.loads(row)["code"] for row in rows]
        found += [code[start:end] for code in codes for start, end, _ in secret_spans(code)]
    assert found == ["anonymous@"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('connect("db", user="x", password="§", port=1)', 'connect("db", user="x", password="§", port=1)'),
        ('a = 1; password = "§"; b = "q7"', 'a = 1; password = "§"; b = "q7"'),
        ("x = {'password': '§', 'host': 'h1.example'}", "x = {'password': '§', 'host': 'h1.example'}"),
        ('s = "Server=db1;Password=§;Database=d2"', 's = "Server=db1;Password=§;Database=d2"'),
        ('db = "redis://:q7Vx92LmTz4K@host:6379"', 'db = "redis://§@host:6379"'),
        ('db = "smtp://bob:p@ss%2Fw:rd@host/x"', 'db = "smtp://§@host/x"'),
        ('token = """\n  §\n"""', 'token = """\n  §\n"""'),
    ],
)
def test_only_the_secret_is_masked(text: str, masked: str) -> None:
    assert mask(text.replace("§", "q7Vx92LmTz4K"))[0] == masked.replace("§", MASK)


def test_findings_that_overlap_are_masked_whole() -> None:
    token = "ghp" + f"_{RANDOM[:36]}"
    text, found = mask(f"password = 'pre.{token}/after-it.9x'")
    assert text == f"password = '{MASK}'"
    assert found == [(1, "GitHub token")]


def test_masking_twice_changes_nothing() -> None:
    for forms in FORMS.values():
        once, _ = mask("\n".join(forms).replace("§", "q7Vx92LmTz4K"))
        assert mask(once) == (once, [])


def test_two_secrets_keep_their_lines() -> None:
    text, found = mask('x = 1\ntoken = """\nq7Vx92LmTz4K\n"""\n\npassword = "Xk83-vPq0_zL"\n')
    assert text == f'x = 1\ntoken = """\n{MASK}\n"""\n\npassword = "{MASK}"\n'
    assert [line for line, _ in found] == [3, 6]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("password", Strength.PASSWORD),
        ("DB_PASS", Strength.PASSWORD),
        ("userPwd", Strength.PASSWORD),
        ("contraseña", Strength.PASSWORD),
        ("api_key", Strength.KEY),
        ("x-api-key", Strength.KEY),
        ("APIKey", Strength.KEY),
        ("clientSecret", Strength.KEY),
        ("AWS_SECRET_ACCESS_KEY", Strength.KEY),
        ("token", Strength.TOKEN),
        ("token_type", Strength.HINT),
        ("password_field", Strength.HINT),
        ("key", Strength.HINT),
        ("stripeKey", Strength.HINT),
        ("bypass", None),
        ("first_pass", None),
        ("tokenizer", None),
        ("author", None),
        ("monkey", None),
        ("compass", None),
    ],
)
def test_what_a_name_says(name: str, expected: Strength | None) -> None:
    assert strength(name) == expected


@pytest.mark.parametrize("sure", [Strength.KEY, Strength.PASSWORD])
def test_nearly_all_random_values_are_found(sure: Strength) -> None:
    draw = random.Random(7)
    values = ["".join(draw.choices(string.ascii_letters + string.digits, k=16)) for _ in range(1000)]
    assert sum(is_secret(value, sure) for value in values) >= 985


@given(st.text(alphabet="pasword=:\"'`(){}[]<>,;@#$%\\ \n/.-+tokenkey19", max_size=300))
def test_any_text_keeps_its_lines_and_is_masked_once(text: str) -> None:
    once, found = mask(text)
    assert once.count("\n") == text.count("\n")
    assert once.count(MASK) == len(found)
    assert mask(text) == (once, found)


@pytest.mark.parametrize(
    "unit",
    ["password = '", "password(", "api_key[", "eyJ-", "-----BEGIN PRIVATE KEY-----", "://:@", "key=<<A\n", 'pw = """'],
)
def test_time_grows_with_the_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        start = time.process_time()
        mask(text)
        return time.process_time() - start

    seconds(2_000)
    assert seconds(40_000) < 6 * seconds(10_000) + 0.1
