"""NFTs that came into being in a transaction, and the memos it carries, read from its instructions."""

from collections.abc import Iterable
from dataclasses import dataclass

from solders.pubkey import Pubkey

from chain import programs
from indexer.effects.facts import NftMetadata, NftMint, NftMove, TokenMovement
from indexer.effects.message import Step

_INITIALIZE_MINT, _INITIALIZE_MINT_2, _SET_AUTHORITY, _METADATA_POINTER = 0, 20, 6, 39
_MINT_AUTHORITY_TO_NOBODY = bytes([_SET_AUTHORITY, 0, 0])
_AUTHORITY_AT = 2
_FREEZE_AT = _AUTHORITY_AT + 32


@dataclass(slots=True)
class _Draft:
    program: str
    decimals: int
    freeze_authority: str | None
    authority_removed: bool = False


def memos_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """Texts given to the Memo programs, in order. Bytes that are no UTF-8 (they fail on chain) show as marks."""
    return tuple(s.data_bytes().decode(errors="replace") for s in steps if s.program in programs.MEMO_PROGRAMS)


def nfts_minted(steps: Iterable[Step], movements: tuple[TokenMovement, ...]) -> tuple[NftMint, ...]:
    """Mints of 0 decimals initialised here whose whole supply after it is 1.

    All holders of a mint made in a transaction are in that transaction, so the supply is the sum of what they hold
    after; it needs no knowledge of the ways to mint or burn.
    """
    drafts: dict[str, _Draft] = {}
    pointers: dict[str, str] = {}
    metadata: dict[str, NftMetadata] = {}
    for step in steps:
        if step.program in programs.TOKEN_PROGRAMS and step.accounts:
            _note(step, step.data_bytes(), drafts, pointers, metadata)
    found = []
    for mint, draft in drafts.items():
        holders = [one for one in movements if one.mint == mint and one.after]
        if draft.decimals or len(holders) != 1 or holders[0].after != 1:
            continue
        found.append(
            NftMint(
                mint=mint,
                program=draft.program,
                account=holders[0].account,
                owner=holders[0].owner,
                authority_removed=draft.authority_removed,
                freeze_authority=draft.freeze_authority,
                metadata_address=pointers.get(mint),
                metadata=metadata.get(mint),
            )
        )
    return tuple(found)


def nfts_moved(movements: Iterable[TokenMovement], minted: Iterable[NftMint]) -> tuple[NftMove, ...]:
    """Tokens of 0 decimals of which one went from somewhere to somewhere; those made here did not move."""
    new = {one.mint for one in minted}
    sides: dict[str, tuple[list[TokenMovement], list[TokenMovement]]] = {}
    for one in movements:
        if one.decimals == 0 and abs(one.delta) == 1 and one.mint not in new:
            sides.setdefault(one.mint, ([], []))[one.delta > 0].append(one)
    return tuple(
        NftMove(mint, _owner(lost), _owner(gained))
        for mint, (lost, gained) in sides.items()
        if len(lost) <= 1 and len(gained) <= 1
    )


def _owner(side: list[TokenMovement]) -> str | None:
    return side[0].owner if side else None


def _note(
    step: Step, data: bytes, drafts: dict[str, _Draft], pointers: dict[str, str], metadata: dict[str, NftMetadata]
) -> None:
    mint = step.accounts[0]
    if data.startswith(programs.METADATA_INITIALIZE):
        texts = _three_texts(data[len(programs.METADATA_INITIALIZE) :])
        if texts is not None:
            metadata[mint] = texts
    elif data[:1] in (bytes([_INITIALIZE_MINT]), bytes([_INITIALIZE_MINT_2])) and len(data) > _FREEZE_AT:
        freeze = data[_FREEZE_AT + 1 : _FREEZE_AT + 33] if data[_FREEZE_AT] else b""
        drafts[mint] = _Draft(step.program, data[1], str(Pubkey.from_bytes(freeze)) if len(freeze) == 32 else None)
    elif data == _MINT_AUTHORITY_TO_NOBODY and mint in drafts:
        drafts[mint].authority_removed = True
    elif data[:2] == bytes([_METADATA_POINTER, 0]) and len(data) == 66:
        pointers[mint] = str(Pubkey.from_bytes(data[34:]))


def _three_texts(data: bytes) -> NftMetadata | None:
    """None when the bytes end early: the program would have failed on them."""
    texts: list[str] = []
    at = 0
    for _ in range(3):
        length = int.from_bytes(data[at : at + 4], "little")
        text = data[at + 4 : at + 4 + length]
        if len(data) < at + 4 or len(text) != length:
            return None
        texts.append(text.decode(errors="replace"))
        at += 4 + length
    return NftMetadata(*texts)
