"""Every secret text in the settings, for the log's mask."""

from pydantic import SecretStr

from config.settings import Settings


def secrets_of(settings: Settings) -> list[str]:
    """Plain secrets, each part of a comma-separated one by itself, and parts of a key that could leak alone."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            found += [text, *(part.strip() for part in text.split(","))]
    found.append(settings.circle_w3s_api_key.get_secret_value().rsplit(":", 1)[-1])
    return [text for text in dict.fromkeys(found) if text]
