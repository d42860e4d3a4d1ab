"""Keys and tokens that are recognised by the prefix that their issuer gives them.

The prefixes and lengths are facts that the issuers publish; most were looked up in the rules of gitleaks 8.30 (MIT) and
in the plugins of detect-secrets 1.5 (Apache-2.0). Patterns here are looser than theirs: the prefix must begin a word,
and what follows needs a minimum length in the issuer's alphabet, so that a token of a new length is still found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 2000
"""Maximum number of characters after a prefix that are searched."""


@dataclass(frozen=True)
class Issuer:
    """One kind of token.

    Args:
        kind: its name in the record.
        prefixes: its possible beginnings, or a mark within it.
        body: a pattern for what follows. Its repetitions are possessive or bounded, so that time is linear.
        before: a pattern for the part of the token before the mark; blank if the token begins with the prefix.
        hide_prefix: whether the prefix is part of the secret.
    """

    kind: str
    prefixes: tuple[str, ...]
    body: str
    before: str = ""
    hide_prefix: bool = True


def _at_least(characters: str, shortest: int) -> str:
    """A pattern of at least `shortest` characters. Lower-case words joined by hyphens, as in CSS, are not a token."""
    not_css = "(?=[a-z_-]{0,40}[A-Z0-9])" if "-" in characters else ""
    return f"{not_css}[{characters}]{{{shortest},{MAX_CHARACTERS}}}+"


_WORD = "-A-Za-z0-9_"
_ALNUM = "A-Za-z0-9"
_BASE64 = "A-Za-z0-9+/"
_HEX = "0-9a-fA-F"

ISSUERS: tuple[Issuer, ...] = (
    Issuer("1Password key", ("A3-",), r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    Issuer("1Password key", ("ops_eyJ",), _at_least(_BASE64 + "=", 60)),
    Issuer("Adobe secret", ("p8e-",), _at_least(_ALNUM, 32)),
    Issuer("age key", ("AGE-SECRET-KEY-1",), "[A-Z0-9]{58}"),
    Issuer("Airtable token", ("pat",), rf"[{_ALNUM}]{{14}}\.[0-9a-f]{{64}}"),
    Issuer("Alibaba key", ("LTAI",), f"[{_ALNUM}]{{20}}"),
    Issuer("Artifactory token", ("AKCp",), _at_least(_ALNUM, 60)),
    Issuer("Artifactory token", ("cmVmd",), f"[{_ALNUM}]{{59}}"),
    Issuer("Atlassian token", ("ATATT3", "ATCTT3", "ATBB"), _at_least(_WORD + "=", 20)),
    Issuer(
        "Authress key",
        ("sc_", "ext_", "scauth_", "authress_"),
        r"[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][A-Za-z0-9-]{10,32}\.[\w+/=-]{30,120}",
    ),
    Issuer("AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"), "[A-Z0-9]{16,17}"),
    Issuer("AWS Bedrock key", ("ABSK",), _at_least(_BASE64 + "=", 60)),
    Issuer("AWS Bedrock key", ("bedrock-api-key-",), _at_least(_BASE64 + "=", 20)),
    Issuer("Azure key", ("AccountKey=", "SharedAccessKey="), _at_least(_BASE64 + "=", 40), hide_prefix=False),
    Issuer("Azure client secret", ("Q~",), r"[\w~.-]{31,34}", before=r"[\w~.]{3}[0-9]"),
    Issuer("Brevo key", ("xkeysib-", "xsmtpsib-"), _at_least(_WORD, 40)),
    Issuer("ClickHouse key", ("4b1d",), f"[{_ALNUM}]{{38}}"),
    Issuer("Cloudflare key", ("v1.0-",), "[0-9a-f]{24}-[0-9a-f]{100,200}+"),
    Issuer("Databricks token", ("dapi",), "[0-9a-f]{32}(?:-[0-9])?"),
    Issuer("Defined Networking key", ("dnkey-",), _at_least(_WORD + "=", 40)),
    Issuer("DigitalOcean token", ("doo_v1_", "dop_v1_", "dor_v1_"), "[0-9a-f]{64}"),
    Issuer(
        "Discord webhook", ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"), r"\d{15,22}/[\w-]{40,100}+"
    ),
    Issuer("Docker token", ("dckr_pat_", "dckr_oat_"), _at_least(_WORD, 20)),
    Issuer(
        "Doppler token",
        ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."),
        _at_least(_ALNUM + "_.-", 40),
    ),
    Issuer("Dropbox token", ("sl.",), _at_least(_WORD + "=.", 100)),
    Issuer("Duffel token", ("duffel_test_", "duffel_live_"), _at_least(_WORD + "=", 40)),
    Issuer("Dynatrace token", ("dt0c01.", "dt0s01.", "dt0s16."), rf"[A-Z0-9]{{8,24}}\.[{_ALNUM}]{{64}}"),
    Issuer("EasyPost key", ("EZAK", "EZTK"), f"[{_ALNUM}]{{54}}"),
    Issuer("Facebook token", ("EAAM", "EAAC", "EAAB", "EAAG"), _at_least(_ALNUM, 80)),
    Issuer("Flutterwave key", ("FLWSECK_TEST-", "FLWSECK-", "FLWPUBK_TEST-", "FLWPUBK-"), _at_least(_ALNUM + "-", 12)),
    Issuer("Fly.io token", ("fo1_", "fm1r_", "fm1a_", "fm2_"), _at_least(_BASE64 + "=_-", 43)),
    Issuer("Frame.io token", ("fio-u-",), _at_least(_WORD + "=", 60)),
    Issuer("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _at_least(_ALNUM, 30)),
    Issuer("GitHub token", ("github_pat_",), _at_least(r"\w", 30)),
    Issuer(
        "GitLab token",
        (
            *("glpat-", "gloas-", "gldt-", "glrt-", "glft-", "glptt-", "glcbt-", "glffct-", "glimt-", "glagent-"),
            *("glsoat-", "glwt-"),
        ),
        _at_least(_WORD + ".", 20),
    ),
    Issuer("GitLab token", ("GR1348941",), _at_least(_WORD, 20)),
    Issuer("GitLab token", ("_gitlab_session=",), _at_least(_ALNUM, 32), hide_prefix=False),
    Issuer("Google key", ("AIza",), r"[\w-]{35}"),
    Issuer("Google key", ("ya29.", "GOCSPX-"), _at_least(_WORD, 20)),
    Issuer("Grafana token", ("glc_", "eyJrIjoi"), _at_least(_BASE64 + "=", 32)),
    Issuer("Grafana token", ("glsa_",), f"[{_ALNUM}]{{32}}_[{_HEX}]{{8}}"),
    Issuer("Groq key", ("gsk_",), _at_least(_ALNUM, 40)),
    Issuer("Harness key", ("pat.", "sat."), rf"[\w-]{{22}}\.[{_ALNUM}]{{24}}\.[{_ALNUM}]{{20}}"),
    Issuer("HashiCorp token", (".atlasv1.",), _at_least(_WORD + "=", 60), before="[A-Za-z0-9]{14}"),
    Issuer("HashiCorp token", ("hvs.", "hvb.", "hvr."), _at_least(_WORD, 20)),
    Issuer("HashiCorp token", ("s.",), r"(?=[A-Za-z]{0,23}\d)[A-Za-z0-9]{24}"),
    Issuer("Heroku key", ("HRKU-",), _at_least(_WORD, 30)),
    Issuer("Infracost key", ("ico-",), f"[{_ALNUM}]{{32}}"),
    Issuer("Intra 42 secret", ("s-s4t2ud-", "s-s4t2af-"), "[0-9a-f]{64}"),
    Issuer("JSON web token", ("eyJ",), r"[\w-]{8,600}+\.(?:eyJ[\w-]{8,8000}+)(?:\.[\w-]{0,4000}+)?"),
    Issuer("JSON web token", ("ZXlK",), _at_least(_BASE64 + "=", 70)),
    Issuer("Linear key", ("lin_api_", "lin_oauth_"), _at_least(_ALNUM, 32)),
    Issuer("Mailchimp key", ("-us",), "[0-9]{1,2}(?![A-Za-z0-9])", before="[0-9a-f]{32}"),
    Issuer("Mailgun key", ("key-", "pubkey-"), "[0-9a-f]{32}"),
    Issuer("Mapbox token", ("pk.", "sk.", "tk."), r"eyJ[\w-]{40,200}+\.[\w-]{20,40}+"),
    Issuer("MaxMind key", ("_mmk",), "(?![A-Za-z0-9])", before="[A-Za-z0-9]{6}_[A-Za-z0-9]{29}"),
    Issuer("Microsoft Teams webhook", ("webhook.office.com/webhookb2/",), r"[\w@/-]{60,400}+"),
    Issuer("model provider's key", ("sk-",), _at_least(_WORD, 20)),
    Issuer("model provider's key", ("hf_", "api_org_"), _at_least(_ALNUM, 30)),
    Issuer("model provider's key", ("pplx-", "r8_", "xai-", "nvapi-"), _at_least(_WORD, 32)),
    Issuer("New Relic key", ("NRAK-", "NRII-", "NRJS-", "NRAA-", "NRSP-", "NRRA-"), _at_least(_WORD, 19)),
    Issuer("Notion token", ("ntn_",), f"[{_ALNUM}]{{40,60}}"),
    Issuer("Notion token", ("secret_",), f"(?=[A-Za-z]{{0,42}}[0-9])[{_ALNUM}]{{43}}"),
    Issuer("Octopus Deploy key", ("API-",), "[A-Z0-9]{26,32}"),
    Issuer("OpenShift token", ("sha256~",), r"[\w-]{43}"),
    Issuer("package registry's token", ("npm_",), f"[{_ALNUM}]{{36}}"),
    Issuer("package registry's token", ("pypi-",), _at_least(_WORD, 50)),
    Issuer("package registry's token", ("rubygems_",), "[0-9a-f]{48}"),
    Issuer("package registry's token", ("CLOJARS_", "clojars_"), f"[{_ALNUM}]{{60}}"),
    Issuer("package registry's token", ("cio",), f"(?=[A-Za-z]{{0,31}}[0-9])[{_ALNUM}]{{32}}"),
    Issuer("Plaid token", ("access-sandbox-", "access-development-", "access-production-"), r"[0-9a-f-]{36}"),
    Issuer("PlanetScale token", ("pscale_tkn_", "pscale_oauth_", "pscale_pw_"), _at_least(_WORD + "=.", 32)),
    Issuer("Postman key", ("PMAK-",), "[0-9a-f]{24}-[0-9a-f]{34}"),
    Issuer("Prefect key", ("pnu_",), f"[{_ALNUM}]{{36}}"),
    Issuer("Pulumi token", ("pul-",), "[0-9a-f]{40}"),
    Issuer("ReadMe key", ("rdme_",), "[a-z0-9]{70}"),
    Issuer("Scalingo token", ("tk-us-",), r"[\w-]{48}"),
    Issuer("SendGrid key", ("SG.",), r"[\w-]{16,64}+\.[\w-]{16,100}+"),
    Issuer("Sentry token", ("sntrys_", "sntryu_"), _at_least(_BASE64 + "=_", 40)),
    Issuer("SettleMint token", ("sm_aat_", "sm_pat_", "sm_sat_"), _at_least(_ALNUM, 16)),
    Issuer("Shippo token", ("shippo_live_", "shippo_test_"), f"[{_HEX}]{{40}}"),
    Issuer("Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), f"[{_HEX}]{{32}}"),
    Issuer("Slack token", tuple(f"xox{letter}-" for letter in "abeoprs"), _at_least(_WORD, 10)),
    Issuer("Slack token", ("xoxe.xoxb-", "xoxe.xoxp-", "xapp-"), _at_least(_WORD, 20)),
    Issuer(
        "Slack token",
        tuple(f"hooks.slack.com/{kind}/" for kind in ("services", "workflows", "triggers")),
        r"[\w/]{20,200}+",
    ),
    Issuer("SonarQube token", ("squ_", "sqp_", "sqa_"), "[0-9a-f]{40}"),
    Issuer("Sourcegraph token", ("sgp_",), f"(?:(?:[{_HEX}]{{16}}|local)_)?[{_HEX}]{{40}}"),
    Issuer("Square token", ("sq0atp-", "sq0csp-", "EAAA"), _at_least(_WORD, 22)),
    Issuer(
        "Stripe key",
        (*(f"{kind}_{mode}_" for kind in ("sk", "rk") for mode in ("live", "test", "prod")), "whsec_"),
        _at_least(_ALNUM, 16),
    ),
    Issuer("Telegram token", (":AA",), _at_least(_WORD, 32), before="[0-9]{8,10}"),
    Issuer("Twilio key", ("SK",), "[0-9a-f]{32}"),
    Issuer("Twitter token", ("AAAAAAAAAAAAAAAAAAAAA",), "[A-Za-z0-9%]{60,120}+"),
    Issuer("Typeform token", ("tfp_",), _at_least(_WORD + "=.", 40)),
    Issuer("Yandex key", ("AQVN",), r"[\w-]{35,38}"),
    Issuer("Yandex key", ("t1.",), r"[\w-]{20,200}+={0,2}\.[\w-]{86}={0,2}"),
    Issuer("Yandex key", ("YC",), r"(?=[A-Za-z_-]{0,37}[0-9])[\w-]{38}"),
)
_COMPILED = tuple(
    (issuer, re.compile(issuer.body), re.compile(rf"(?<![A-Za-z0-9_]){issuer.before}\Z") if issuer.before else None)
    for issuer in ISSUERS
)
_MAX_BEFORE = 60


def issued(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind of every token of a known issuer."""
    for issuer, body, before in _COMPILED:
        for prefix in issuer.prefixes:
            # A pattern is tried only after its prefix, for which `str.find` is fast.
            at = text.find(prefix)
            while at >= 0:
                after = at + len(prefix)
                start = _start(text, at, before)
                match = body.match(text, after) if start >= 0 else None
                if match:
                    yield start if issuer.hide_prefix else after, match.end(), issuer.kind
                at = text.find(prefix, max(after, match.end()) if match else after)


def _start(text: str, at: int, before: re.Pattern[str] | None) -> int:
    """Start of the token whose prefix or mark is at a position; -1 if there is none."""
    if before is not None:
        match = before.search(text, max(0, at - _MAX_BEFORE), at)
        return match.start() if match else -1
    if at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_"):
        return at
    # The letter of an escape such as `\n` is not part of a word before the token.
    escaped = text[at - 1] in "nrt" and at > 1 and text[at - 2] == "\\"
    return at if escaped else -1
