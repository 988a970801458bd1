"""From the open Checkout Session to the sale, and what comes back of it: purchases, refunds, disputes, holds, dues."""
