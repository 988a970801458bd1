"""${message}"""

import sqlalchemy as sa
from alembic import op

from storage.migrations.operations import guard_append_only, replace_check
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
