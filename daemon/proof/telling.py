"""A bar explained, in words: the document that ``argus why --json`` prints, and what first stood in the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus.clock import SECOND
from bus.values import Action
from daemon.proof.nearest import Flip, searched
from daemon.proof.probe import Answer, Facts
from daemon.reading.digest import iso
from daemon.reading.show import named


def document(mode: str, facts: Facts, changes: Sequence[Flip] | None) -> dict[str, Any]:
    """Everything about the bar, JSON-ready; ``changes`` are those that flip it, None where nobody looked."""
    bar = facts.bar
    flips = [_flip(flip) for flip in changes] if changes is not None else None
    return {
        "instrument": bar.instrument,
        "interval_s": bar.interval_ns / SECOND,
        "time": iso(bar.end_ns),
        "bar": {"start": iso(bar.start_ns), **{n: getattr(bar, n) for n in ("open", "high", "low", "close", "volume")}},
        "mode": mode,
        "decision": decision(facts),
        "orders": [named(approval.order) for approval in facts.approved],
        "blocker": blocker(mode, facts),
        "regime": named(facts.regime),
        "votes": [vote for answer in facts.answers for vote in _votes(answer)],
        "council": named(facts.voted) if facts.voted is not None else None,
        "gates": [
            {
                "intent_id": one.intent_id,
                "strategy": one.strategy,
                "action": one.intent.action.value,
                "reason": one.intent.reason,
                "checks": named(_checks(facts, one.intent_id)),
                "refused": next(
                    ({"rule": r.rule, "reason": r.reason} for r in facts.refused if r.intent_id == one.intent_id), None
                ),
            }
            for one in facts.decisions
        ],
        "nearest": flips[0] if flips else None,
        "changes": flips,
        "searched": searched() if flips is not None else None,
    }


def decision(facts: Facts) -> str:
    """The one word: the action that went to the venue, or HOLD."""
    passed = {approval.order.intent_id for approval in facts.approved}
    actions = [one.intent.action.value for one in facts.decisions if one.intent_id in passed]
    return ", ".join(dict.fromkeys(actions)) or Action.HOLD.value


def blocker(mode: str, facts: Facts) -> dict[str, str] | None:
    """What first stood between this bar and an order; None where nothing did."""
    if facts.refused:
        first = facts.refused[0]
        said = {"stage": "gate", "rule": first.rule, "reason": first.reason}
        if facts.halted is not None:
            said["since"] = f"{iso(facts.halted.ns)}: {facts.halted.rule}, {facts.halted.reason}"
        return said
    if facts.decisions:
        return None
    if mode == "off" and facts.logged:
        return {"stage": "routing", "rule": "council.mode", "reason": "routing is off: intents are written down only"}
    if facts.voted is not None and max(facts.voted.support) > 0.0:
        long, flat, short = facts.voted.support
        reason = f"long {long:.4g}, flat {flat:.4g}, short {short:.4g} of {facts.voted.needed:.4g}"
        if max(facts.voted.support) >= facts.voted.needed:
            reason += ": the council has asked for that already"
        return {"stage": "council", "rule": "threshold", "reason": reason}
    reasons = [f"{vote['strategy']}: {vote['reason']}" for a in facts.answers for vote in _votes(a) if vote["reason"]]
    return {"stage": "strategies", "rule": "HOLD", "reason": "; ".join(reasons) or "no strategy wanted anything"}


def _votes(answer: Answer) -> list[dict[str, Any]]:
    if not answer.intents:
        reason = f"it failed: {answer.failed}" if answer.failed else ""
        return [{"strategy": answer.strategy, "action": Action.HOLD.value, "confidence": None, "reason": reason}]
    return [{"strategy": answer.strategy, **named(intent)} for intent in answer.intents]


def _checks(facts: Facts, intent_id: str) -> Sequence[Any]:
    refused = next((refusal.checks for refusal in facts.refused if refusal.intent_id == intent_id), None)
    return refused if refused is not None else facts.judged.get(intent_id, [])


def _flip(flip: Flip) -> dict[str, Any]:
    return {
        "what_if": flip.changes.words(),
        "was": ", ".join(step.was for step in flip.steps if step.was),
        "distance": flip.distance,
        "orders": flip.outcome,
        "steps": [
            {"setting": step.setting, "from": step.was, "to": step.to, "unit": step.unit, "distance": step.distance}
            for step in flip.steps
        ],
    }
