"""Every wrong, missing or contradictory setting stops the start with one line that names it, and shows no secret."""

import traceback
from pathlib import Path

import pytest

from config.settings import LIVE_PRIORITY_FEE_LAMPORTS, SECRET_NAMES, Settings, SettingsError, load_settings
from tests.config.environment import CANARY, ENTITY_SECRET, LIVE, SECRETS, VALID

A, B = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", "11111111111111111111111111111111"
REQUIRED = [name.upper() for name, field in Settings.model_fields.items() if field.is_required()]


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(env)
    shows_nothing(caught.value)
    return str(caught.value)


def shows_nothing(error: BaseException | None) -> None:
    """No secret in the texts of the error and of whatever hangs on it, as a debugger or a log would print them."""
    while error is not None:
        held = [str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
        if callable(getattr(error, "errors", None)):
            held.append(repr(error.errors()))  # type: ignore[attr-defined]
        for text in held:
            assert CANARY not in text
            assert ENTITY_SECRET not in text
        error = error.__cause__ or error.__context__


MINT = {
    **VALID,
    "AGENT_CONVERSION": "circle_mint",
    "AGENT_CAP_CONVERSION": "500000000",
    "AGENT_CAP_CONVERSION_DAY": "1000000000",
}


@pytest.mark.parametrize(
    ("environment", "changes", "line"),
    [
        (MINT, {"AGENT_CIRCLE_MINT_API_KEY": ""}, "AGENT_CIRCLE_MINT_API_KEY: needed with"),
        (MINT, {"AGENT_CIRCLE_MINT_API_KEY": "LIVE_API_KEY:canary:canary"}, "this installation is test"),
        (MINT | LIVE, {}, "AGENT_CIRCLE_MINT_API_KEY: is of the other mode; this installation is live"),
        (MINT, {"AGENT_CIRCLE_MINT_API_URL": "https://api.circle.com/"}, "AGENT_CIRCLE_MINT_API_URL: is of the other"),
        (MINT, {"AGENT_CIRCLE_MINT_API_URL": "circle"}, "AGENT_CIRCLE_MINT_API_URL: the http(s) address"),
        (MINT, {"AGENT_CAP_CONVERSION": "0"}, "AGENT_CAP_CONVERSION: needed with"),
        (MINT, {"AGENT_CAP_CONVERSION_DAY": "0"}, "AGENT_CAP_CONVERSION_DAY: needed with"),
    ],
)
def test_what_circle_mint_needs_stops_the_start_where_it_is_on(
    environment: dict[str, str], changes: dict[str, str], line: str
) -> None:
    told = refusal(environment | changes)
    assert line in told and "\n" not in told


def test_circle_mint_is_off_by_default_and_has_a_host_for_each_mode() -> None:
    assert not load_settings(VALID).converts
    assert load_settings(MINT).circle_mint_url == "https://api-sandbox.circle.com"
    live = MINT | LIVE | {"AGENT_CIRCLE_MINT_API_KEY": "LIVE_API_KEY:canary-id:canary-secret"}
    assert load_settings(live).circle_mint_url == "https://api.circle.com"


def test_the_least_environment_is_enough_and_the_defaults_are_the_products() -> None:
    settings = load_settings({name: VALID[name] for name in REQUIRED})
    assert settings.agent_creator_bps == 9_000
    assert settings.agent_rounding_step == 10_000
    assert settings.agent_mint_wait_days == 14
    assert settings.agent_balance_alert_usdc == 500_000_000
    assert settings.agent_user_wallets == "user"
    assert settings.agent_grouping == "purchase"
    assert settings.database_url.get_secret_value().startswith("sqlite:///")
    assert not settings.live
    assert settings.blockchain == "SOL-DEVNET"
    assert not settings.require_available


def test_live_keys_speak_to_mainnet_and_wait_until_stripes_money_is_available() -> None:
    settings = load_settings(LIVE)
    assert settings.live
    assert settings.require_available
    assert settings.blockchain == "SOL"
    assert settings.usdc_mint == "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    assert not load_settings({**LIVE, "AGENT_REQUIRE_AVAILABLE": "false"}).require_available


def test_only_in_live_something_is_bid_for_a_place_in_a_block_unless_it_is_set() -> None:
    assert load_settings(LIVE).priority_fee_lamports == LIVE_PRIORITY_FEE_LAMPORTS > 0
    assert load_settings(VALID).priority_fee_lamports == 0
    assert load_settings({**LIVE, "AGENT_PRIORITY_FEE_LAMPORTS": "0"}).priority_fee_lamports == 0
    assert load_settings({**VALID, "AGENT_PRIORITY_FEE_LAMPORTS": "7000"}).priority_fee_lamports == 7_000


def test_lists_are_read_with_commas_and_stray_blanks() -> None:
    settings = load_settings({**VALID, "STRIPE_WEBHOOK_SECRET": " whsec_canary_a , whsec_canary_b ,"})
    assert settings.webhook_secrets == ("whsec_canary_a", "whsec_canary_b")
    assert len(settings.rpc_urls) == 2
    assert settings.invite_codes == ("canary-invite-one", "canary-invite-two")
    assert load_settings({**VALID, "AGENT_SCREENING_DENY": f"{A},{B},{A}"}).denied_addresses == {A, B}
    proxies = load_settings({**VALID, "AGENT_TRUSTED_PROXIES": "127.0.0.1, fd00::/8"}).trusted_proxies
    assert proxies == ("127.0.0.1", "fd00::/8")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  "], ids=["absent", "empty", "blank"])
def test_a_missing_setting_is_named(name: str, value: str | None) -> None:
    env = {key: text for key, text in VALID.items() if key != name} | ({} if value is None else {name: value})
    assert refusal(env) == f"{name}: is not set; see docs/SETTINGS.md"


def test_all_missing_settings_are_named_in_a_line_each() -> None:
    *lines, told = refusal({}).splitlines()
    assert [line.partition(":")[0] for line in lines] == REQUIRED
    assert "`python main.py sandbox` needs none" in told
    one = {REQUIRED[0]: VALID[REQUIRED[0]]}
    assert [line.partition(":")[0] for line in refusal(one).splitlines()] == REQUIRED[1:]


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("CIRCLE_W3S_API_KEY", "canary", "TEST_API_KEY:<id>:<secret>"),
        ("CIRCLE_W3S_API_KEY", "TEST_API_KEY:canary", "TEST_API_KEY:<id>:<secret>"),
        ("CIRCLE_W3S_API_KEY", "LIVE_API_KEY:canary-id:canary-secret", "CIRCLE_W3S_PRODUCTION=false"),
        ("STRIPE_SECRET_KEY", "sk_live_canary", "CIRCLE_W3S_PRODUCTION=false"),
        ("STRIPE_SECRET_KEY", "canary", "sk_test_"),
        ("STRIPE_SECRET_KEY", "pk_test_canary", "sk_test_"),
        ("STRIPE_PUBLISHABLE_KEY", "sk_test_canary", "pk_test_"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_live_canary", "CIRCLE_W3S_PRODUCTION"),
        ("CLOUDINARY_URL", "https://canary@cloudinary.com", "cloudinary://<key>:<secret>@<cloud>"),
        ("AGENT_SCREENING_DENY", f"{A},0x52908400098527886E0F7030069857D2E4169EE7", "would stop nobody"),
        ("STRIPE_WEBHOOK_SECRET", "canary", "whsec_"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_canary,canary", "whsec_"),
        ("STRIPE_WEBHOOK_SECRET", ",", "whsec_"),
        ("CIRCLE_W3S_ENTITY_SECRET", "canary", "64 hexadecimal digits"),
        ("CIRCLE_W3S_ENTITY_SECRET", ENTITY_SECRET[:-1], "64 hexadecimal digits"),
        ("AGENT_DERIVATION_SECRET", "canary-too-short", "openssl rand -hex 32"),
        ("AGENT_ADMIN_TOKEN", "canary-short", "24 random characters"),
        ("CIRCLE_W3S_PRODUCTION", "maybe", "true or false"),
        ("SOLANA_RPC_URLS", "rpc.example/canary", "http(s) addresses"),
        ("SOLANA_RPC_URLS", ",", "http(s) addresses"),
        ("SOLANA_WS_URL", "https://rpc.example/canary", "ws(s) address"),
        ("PUBLIC_BASE_URL", "shop.example", "http(s) address"),
        ("PUBLIC_BASE_URL", "https://", "http(s) address"),
        ("AGENT_LISTEN", "8080", "127.0.0.1:8080"),
        ("AGENT_LISTEN", "127.0.0.1:99999", "127.0.0.1:8080"),
        ("AGENT_ADMIN_LISTEN", "0.0.0.0:8081", "AGENT_ALLOW_PUBLIC_ADMIN=true"),
        ("AGENT_TRUSTED_PROXIES", "proxy.example", "127.0.0.1 or 10.1.2.0/24"),
        ("AGENT_TRUSTED_PROXIES", "10.1.2.3/24", "127.0.0.1 or 10.1.2.0/24"),
        ("AGENT_TRUSTED_PROXIES", "127.0.0.1,0.0.0.0/0", "never everybody"),
        ("AGENT_TRUSTED_PROXIES", "::/0", "never everybody"),
        ("AGENT_CREATOR_BPS", "10001", "less than or equal to 10000"),
        ("AGENT_CREATOR_BPS", "-1", "greater than or equal to 0"),
        ("AGENT_CREATOR_BPS", "90%", "whole number"),
        ("AGENT_CREATOR_BPS", "9000.5", "whole number"),
        ("AGENT_ROUNDING_STEP", "0", "greater than or equal to 1"),
        ("AGENT_ROUNDING", "bankers", "'half_up', 'down' or 'up'"),
        ("AGENT_GROUPING", "batch", "'purchase' or 'creator'"),
        ("AGENT_USER_WALLETS", "both", "'user' or 'developer'"),
        ("AGENT_RAIL", "paypal", "'circle'"),
        ("AGENT_NFT_SYMBOL", "TOO-LONG-SYMBOL", "at most 10 characters"),
        ("AGENT_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("AGENT_SLOT_MS", "0", "greater than or equal to 5"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_the_remedy(name: str, value: str, remedy: str) -> None:
    text = refusal({**VALID, name: value})
    assert text.startswith(f"{name}: ")
    assert remedy in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"CIRCLE_W3S_API_KEY": VALID["CIRCLE_W3S_API_KEY"]}, "CIRCLE_W3S_API_KEY", "CIRCLE_W3S_PRODUCTION=true"),
        ({"STRIPE_SECRET_KEY": VALID["STRIPE_SECRET_KEY"]}, "STRIPE_SECRET_KEY", "CIRCLE_W3S_PRODUCTION=true"),
        ({"AGENT_STRIPE_API_URL": "http://127.0.0.1:1"}, "AGENT_STRIPE_API_URL", "https only"),
        ({"AGENT_CIRCLE_API_URL": "http://127.0.0.1:1"}, "AGENT_CIRCLE_API_URL", "https only"),
        ({"AGENT_USER_WALLETS": "developer"}, "AGENT_WALLET_SET_ID", "AGENT_USER_WALLETS=developer"),
        ({"AGENT_RAIL": "solana"}, "AGENT_SCREENING_DENY", "AGENT_RAIL=circle"),
        ({"AGENT_ARGON2_MEMORY_KIB": "12288"}, "AGENT_ARGON2_MEMORY_KIB", "OWASP"),
        ({"AGENT_ARGON2_ITERATIONS": "1"}, "AGENT_ARGON2_MEMORY_KIB", "OWASP"),
    ],
)
def test_settings_that_contradict_live_mode_or_each_other_are_named(
    change: dict[str, str], name: str, remedy: str
) -> None:
    text = refusal({**LIVE, **change})
    assert text.startswith(f"{name}: ")
    assert remedy in text
    assert "\n" not in text


def test_any_of_owasp_s_sets_of_argon2_is_enough_in_live_and_a_test_may_take_less() -> None:
    less = {"AGENT_ARGON2_MEMORY_KIB": "7168", "AGENT_ARGON2_ITERATIONS": "5"}
    assert load_settings({**LIVE, **less}).agent_argon2_iterations == 5
    assert load_settings({**VALID, "AGENT_ARGON2_MEMORY_KIB": "8"}).agent_argon2_memory_kib == 8


def test_a_public_admin_port_is_a_decision_that_can_be_made() -> None:
    env = {**VALID, "AGENT_ADMIN_LISTEN": "0.0.0.0:8081", "AGENT_ALLOW_PUBLIC_ADMIN": "true"}
    assert load_settings(env).agent_admin_listen == "0.0.0.0:8081"


@pytest.mark.parametrize("name", ["AGENT_CREATOR_BP", "AGENT_CONFIGURATION", "AGENT_LISTEN_FILE", "AGENT_"])
def test_an_unknown_variable_of_ours_is_refused_as_a_misspelling(name: str) -> None:
    assert refusal({**VALID, name: "canary"}) == f"{name}: no such setting; check its spelling or remove it"


def test_variables_of_others_are_left_alone() -> None:
    load_settings({**VALID, "PATH": "/bin", "STRIPE_SOMETHING": "1", "CIRCLE_ELSE": "2", "LANG": "C"})


def test_neither_the_settings_nor_their_parts_print_a_secret() -> None:
    settings = load_settings(VALID)
    for text in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json(), f"{settings}"):
        assert CANARY not in text
        assert ENTITY_SECRET not in text


@pytest.mark.parametrize("name", sorted(SECRET_NAMES - {"AGENT_ADMIN_TOKEN"}))
def test_a_secret_comes_from_a_file_of_its_own(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(VALID[name] + "\n")
    file.chmod(0o600)
    env = {key: value for key, value in VALID.items() if key != name}
    assert load_settings({**env, f"{name}_FILE": str(file)}) == load_settings(VALID)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666])
def test_a_secret_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRETS["STRIPE_SECRET_KEY"])
    file.chmod(mode)
    text = refusal({**VALID, "STRIPE_SECRET_KEY_FILE": str(file)})
    assert text.startswith("STRIPE_SECRET_KEY_FILE: ")
    assert "chmod 600" in text


def test_a_secret_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    absent = refusal({**VALID, "STRIPE_SECRET_KEY_FILE": str(tmp_path / "none")})
    assert absent.startswith("STRIPE_SECRET_KEY_FILE: ")
    assert "No such file" in absent
    folder = refusal({**VALID, "STRIPE_SECRET_KEY_FILE": str(_closed(tmp_path / "folder", None))})
    assert folder.startswith("STRIPE_SECRET_KEY_FILE: ")
    binary = refusal({**VALID, "STRIPE_SECRET_KEY_FILE": str(_closed(tmp_path / "binary", b"canary\xff"))})
    assert binary.startswith("STRIPE_SECRET_KEY_FILE: ")
    assert "UTF-8" in binary


def _closed(path: Path, content: bytes | None) -> Path:
    if content is None:
        path.mkdir(mode=0o700)
    else:
        path.write_bytes(content)
        path.chmod(0o600)
    return path


def test_systemds_credentials_folder_is_read_for_secrets(tmp_path: Path) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text(SECRETS[name] + "\n")
    (tmp_path / "PUBLIC_BASE_URL").write_text("https://not-a-secret.example")
    env = {key: value for key, value in VALID.items() if key not in SECRETS}
    settings = load_settings({**env, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert settings == load_settings(VALID)
    assert settings.public_base_url == VALID["PUBLIC_BASE_URL"]


def test_a_toml_file_gives_the_same_settings_in_its_own_types(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    lines = [f'{name.lower()} = "{value}"' for name, value in VALID.items()]
    file.write_text("\n".join([*lines, "agent_creator_bps = 8500", "circle_w3s_production = false"]))
    from_file = load_settings({"AGENT_CONFIG": str(file)})
    assert from_file == load_settings({**VALID, "AGENT_CREATOR_BPS": "8500"})


def test_the_environment_beats_the_secret_file_and_that_the_toml_file(tmp_path: Path) -> None:
    toml, secret = tmp_path / "agent.toml", tmp_path / "secret"
    toml.write_text('stripe_secret_key = "sk_test_canary_toml"\nagent_slot_ms = 400')
    secret.write_text("sk_test_canary_file")
    secret.chmod(0o600)
    env = {key: value for key, value in VALID.items() if key != "STRIPE_SECRET_KEY"} | {"AGENT_CONFIG": str(toml)}
    assert load_settings(env).stripe_secret_key.get_secret_value() == "sk_test_canary_toml"
    env["STRIPE_SECRET_KEY_FILE"] = str(secret)
    assert load_settings(env).stripe_secret_key.get_secret_value() == "sk_test_canary_file"
    env |= {"STRIPE_SECRET_KEY": "sk_test_canary_env", "AGENT_SLOT_MS": "300"}
    assert load_settings(env).stripe_secret_key.get_secret_value() == "sk_test_canary_env"
    assert load_settings(env).agent_slot_ms == 300


@pytest.mark.parametrize(
    ("content", "start", "words"),
    [
        ('stripe_secret_key = "canary', "AGENT_CONFIG: ", "at end of document"),
        ("stripe_secret_key = canary", "AGENT_CONFIG: ", "line 1"),
        ('a = "canary"\n"canary" "canary"', "AGENT_CONFIG: ", "not valid TOML"),
        ("stripe_secret_key = 12", "STRIPE_SECRET_KEY: ", "text"),
        ('stripe_secret_key = ["canary"]', "STRIPE_SECRET_KEY: ", "text"),
        ('stripe_secret_keys = "canary"', "STRIPE_SECRET_KEYS: ", "no such setting"),
        ('[stripe]\nsecret_key = "canary"', "STRIPE: ", "no such setting"),
        ("agent_slot_ms = 1.5", "AGENT_SLOT_MS: ", "whole number"),
        ("agent_slot_ms = nan", "AGENT_SLOT_MS: ", "whole number"),
        ('circle_w3s_production = "maybe"', "CIRCLE_W3S_PRODUCTION: ", "true or false"),
        ("circle_w3s_production = []", "CIRCLE_W3S_PRODUCTION: ", "true or false"),
    ],
)
def test_a_wrong_toml_file_is_one_line_too(content: str, start: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(content)
    name = start.removesuffix(": ")
    env = {key: value for key, value in VALID.items() if key != name}
    text = refusal({**env, "AGENT_CONFIG": str(file)})
    assert text.startswith(start)
    assert words in text
    assert "\n" not in text


def test_a_toml_file_that_is_absent_or_not_text_is_named(tmp_path: Path) -> None:
    assert refusal({**VALID, "AGENT_CONFIG": str(tmp_path / "none")}).startswith("AGENT_CONFIG: ")
    file = tmp_path / "binary"
    file.write_bytes(b'stripe_secret_key = "canary\xff"')
    assert "UTF-8" in refusal({**VALID, "AGENT_CONFIG": str(file)})


def test_every_secret_stays_hidden_whatever_else_is_wrong() -> None:
    for name in VALID:
        for wrong in ("", "canary", "canary " * 1_000, "canary\n", '{"canary": 1}', "canary\x00"):
            env = {**VALID, name: wrong, "AGENT_CREATOR_BPS": "canary"}
            text = refusal(env)
            assert "AGENT_CREATOR_BPS" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_RPC_PER_SECOND", "0"),
        ("AGENT_RPC_PER_SECOND", "fast"),
        ("AGENT_RPC_PER_SECOND", "1,2,3"),
        ("AGENT_RPC_PER_SECOND", "1.5"),
        ("AGENT_RPC_WEIGHTS", "1"),
        ("AGENT_RPC_WEIGHTS", "0,0"),
        ("AGENT_RPC_WEIGHTS", "3,-1"),
        ("AGENT_RPC_WEIGHTS", "1,2,3"),
        ("SOLANA_WS_URL", "https://rpc.example"),
    ],
)
def test_what_is_said_of_the_rpc_addresses_fits_their_number(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings({**VALID, name: value})


def test_rates_and_weights_are_given_for_all_or_for_each() -> None:
    assert load_settings(VALID).rpc_rates == (10, 10)
    assert load_settings(VALID).rpc_weights == ()
    told = load_settings({**VALID, "AGENT_RPC_PER_SECOND": "50, 5", "AGENT_RPC_WEIGHTS": "3, 1"})
    assert (told.rpc_rates, told.rpc_weights) == ((50, 5), (3, 1))
