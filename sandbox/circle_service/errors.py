"""Circle's error envelope and codes (reference/circle.md, section 1). Every 4xx of the service is an `ApiError`."""

from collections.abc import Sequence

Detail = dict[str, object]


class ApiError(Exception):
    """An answer in Circle's error format: HTTP status, code, message, and the list of bad fields, if any."""

    def __init__(self, status: int, code: int, message: str, errors: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = list(errors)

    def body(self) -> dict[str, object]:
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.errors:
            body["errors"] = self.errors
        return body


def invalid(errors: Sequence[Detail]) -> ApiError:
    return ApiError(400, 2, "API parameter invalid", errors)


def bad_field(location: str, value: object, error: str, says: str, **constraints: object) -> Detail:
    """One entry of `errors`, worded as the live API words it."""
    detail: Detail = {"error": error, "location": location, "invalidValue": value}
    detail["message"] = f"'{location}' field {says} (was {'null' if value is None else value})"
    if constraints:
        detail["constraints"] = {name: str(bound) for name, bound in constraints.items()}
    return detail


def uuid_format(location: str, value: object) -> Detail:
    return bad_field(location, value, "uuid_format", "is not in the correct UUID format")


def malformed_authorization() -> ApiError:
    return ApiError(401, 401, "Malformed authorization. Are the credentials properly encoded?")


def unknown_credentials() -> ApiError:
    return ApiError(401, 401, "Invalid credentials.")


def missing_key_prefix() -> ApiError:
    return ApiError(401, 156007, "The API key prefix is missing; it must be TEST_API_KEY or LIVE_API_KEY.")


def forbidden() -> ApiError:
    return ApiError(403, 3, "Forbidden")


def rate_limited() -> ApiError:
    return ApiError(429, 5, "API rate limit error")


def no_such_route() -> ApiError:
    return ApiError(404, -1, "Resource not found")


def user_exists() -> ApiError:
    return ApiError(409, 155101, "Existing user already created with the provided userId.")


def user_not_found() -> ApiError:
    return ApiError(404, 155102, "Cannot find the user in the system.")


def user_token_not_found() -> ApiError:
    return ApiError(401, 155103, "The userToken is not found.")


def user_token_expired() -> ApiError:
    return ApiError(403, 155104, "The userToken had expired.")


def user_token_invalid() -> ApiError:
    return ApiError(403, 155105, "The userToken is invalid.")


def user_initialized() -> ApiError:
    return ApiError(409, 155106, "The user had already been initialized.")


def pin_already_set() -> ApiError:
    return ApiError(409, 155107, "The user already has a PIN set.")


def pin_not_set() -> ApiError:
    return ApiError(400, 155110, "The user's PIN is not set yet.")


def pin_wrong() -> ApiError:
    return ApiError(400, 155112, "The user's PIN is incorrect.")


def challenge_not_found() -> ApiError:
    return ApiError(404, 155116, "Cannot find the challenge in the system.")


def wrong_state() -> ApiError:
    return ApiError(400, 155215, "The operation is not possible in the transaction's current state.")


def bad_destination() -> ApiError:
    return ApiError(400, 155219, "Invalid destination address.")


def request_on_other_chain() -> ApiError:
    return ApiError(400, 155225, "The wallet's blockchain and the request's do not match.")


def amounts_length() -> ApiError:
    return ApiError(400, 155221, "The amounts field must have exactly one element for this token.")


def amount_not_decimal() -> ApiError:
    return ApiError(400, 155224, "The amount is not a valid decimal number for this token.")


def token_id_missing() -> ApiError:
    return ApiError(400, 155228, "The tokenId field is missing.")


def fee_level_and_parameters() -> ApiError:
    return ApiError(400, 155234, "Either feeLevel or the fee parameters may be given, not both.")


def wallet_given_twice() -> ApiError:
    return ApiError(400, 155244, "walletId cannot be used together with the wallet's address and blockchain.")


def insufficient_asset() -> ApiError:
    return ApiError(400, 155258, "the asset amount owned by the wallet is insufficient for the transaction.")


def estimation_short_of_native() -> ApiError:
    return ApiError(400, 155204, "The wallet's native token is insufficient for the transaction.")


def estimation_short_of_token() -> ApiError:
    return ApiError(400, 155205, "The wallet's token amount is insufficient for the transaction.")


def wallet_frozen() -> ApiError:
    return ApiError(409, 155501, "The wallet is frozen; only queries are possible.")


def metadata_length() -> ApiError:
    return ApiError(400, 155503, "The length of metadata does not match count.")


def sca_unsupported() -> ApiError:
    return ApiError(400, 155507, "Smart contract accounts are not supported on this blockchain.")


def wallet_not_found() -> ApiError:
    return ApiError(404, 156001, "Cannot find target wallet in the system.")


def token_not_found() -> ApiError:
    return ApiError(
        404,
        156002,
        "Cannot find target token in the system. Either the specified token doesn't exist or it's not accessible to the"
        " caller.",
    )


def transaction_not_found() -> ApiError:
    return ApiError(404, 156003, "Cannot find target transaction in the system.")


def ciphertext_reused() -> ApiError:
    return ApiError(
        400,
        156004,
        "Reusing an entity secret ciphertext is not allowed. Please re-encrypt the entity secret to generate new"
        " ciphertext.",
    )


def wallet_set_not_found() -> ApiError:
    return ApiError(404, 156005, "Cannot find target wallet set in the system.")


def wrong_network() -> ApiError:
    return ApiError(400, 156006, "The API key and the blockchain belong to different networks.")


def path_not_uuid() -> ApiError:
    return ApiError(400, 156009, "The id in the path is not a UUID.")


def cursor_not_found() -> ApiError:
    return ApiError(404, 156012, "Cannot find the page cursor in the system.")


def secret_invalid() -> ApiError:
    return ApiError(400, 156013, "The provided entity secret is invalid.")


def cursor_not_uuid() -> ApiError:
    return ApiError(400, 156014, "The page cursor is not a UUID.")


def secret_already_set() -> ApiError:
    return ApiError(409, 156015, "The entity secret has already been set.")


def secret_not_set() -> ApiError:
    return ApiError(
        403, 156016, "The entity secret has not been set yet. Please provide encrypted ciphertext in the console."
    )


def bad_blockchain() -> ApiError:
    return ApiError(400, 156017, "The blockchain is invalid.")


def key_reused() -> ApiError:
    return ApiError(403, 156020, "Please use a new idempotency key.")


def not_hex() -> ApiError:
    return ApiError(409, 156023, "The message is not a hex string although encodedByHex is true.")


def unsupported_blockchain() -> ApiError:
    return ApiError(400, 156027, "The blockchain is not supported for this operation.")
