"""Samples with images and recordings: what a line may say, and what is refused of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from media_files import png, wav

from pytest_modellab import tasksets, testing
from pytest_modellab.errors import TaskSetError
from pytest_modellab.media import images, sound
from pytest_modellab.media.generators import Generator
from pytest_modellab.records.media import PLACE
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets.limit import limited
from pytest_modellab.tasksets.quality import leakage, lint, part
from pytest_modellab.tasksets.slices import slice_by

pytest.importorskip("PIL")
pytest.importorskip("av")

GOOD: Mapping[str, Any] = {
    "id": "a",
    "input": "What is it?",
    "target": "red",
    "scorer": "exact",
    "capability": "seeing",
    "difficulty": "easy",
    "max_tokens": 4,
}
DRAWN = Generator("plain", 2, "image", lambda seed, options: png(colour=(seed, 0, 0)))
RED = hashlib.sha256(png()).hexdigest()

Read = Callable[..., TaskSet]


@pytest.fixture
def read(write_samples: Callable[..., Path], tmp_path: Path) -> Read:
    """Read a task set of lines; each mapping is put over :data:`GOOD`."""

    def write(
        *lines: Mapping[str, Any],
        generators: Any = {"plain": DRAWN},  # noqa: B006
    ) -> TaskSet:
        folder = write_samples([{**GOOD, "id": f"s{k}", **line} for k, line in enumerate(lines)])
        (folder / "red.png").write_bytes(png())
        (folder / "blue.jpg").write_bytes(png(colour=(0, 0, 255)))
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "tone.wav").write_bytes(wav())
        return tasksets.read(folder, lambda _: None, tmp_path / "cache", generators)

    return write


@pytest.fixture
def said(read: Read, tmp_path: Path) -> Callable[[Mapping[str, Any]], str]:
    def refused(line: Mapping[str, Any]) -> str:
        with pytest.raises(TaskSetError) as caught:
            read(line)
        folder = tmp_path / "tiny"
        text = str(caught.value)
        assert text.startswith(f"{folder / 'samples.jsonl'}:1: sample 's0': "), text
        return text.partition(": sample 's0': ")[2].replace(f"{folder}/", "")

    return refused


def test_one_several_and_both(read: Read, tmp_path: Path) -> None:
    one, several, both = read(
        {"image": "red.png"},
        {"image": ["red.png", "blue.jpg"]},
        {"audio": "sub/tone.wav", "image": {"path": "red.png", "sha256": RED}},
    ).samples
    assert (one.input, one.asked) == ("What is it?", f"{PLACE}What is it?")
    assert [m.kind for m in one.media] == ["image"]
    assert one.media[0].sha256 == RED
    assert one.media[0].path == str(tmp_path / "tiny" / "red.png")
    assert [m.format for m in several.media] == ["png", "png"]  # whatever the name says
    assert [m.kind for m in both.media] == ["image", "audio"]
    assert [m.pinned for m in both.media] == [True, False]
    assert both.media[1].seconds == 0.1


def test_parts_in_order(read: Read) -> None:
    (sample,) = read(
        {
            "input": [
                {"type": "text", "text": "Hear "},
                {"type": "audio", "audio": "sub/tone.wav"},
                {"type": "text", "text": " and see "},
                {"type": "image", "image": {"generator": "plain", "seed": 7}},
                {"type": "text", "text": ": alike?"},
            ]
        }
    ).samples
    assert sample.input == f"Hear {PLACE} and see {PLACE}: alike?"
    assert sample.asked == sample.input
    assert [m.kind for m in sample.media] == ["audio", "image"]


def test_a_text_may_say_where(read: Read) -> None:
    (sample,) = read({"input": f"Left {PLACE}, right {PLACE}.", "image": ["red.png"] * 2}).samples
    assert sample.asked == f"Left {PLACE}, right {PLACE}."


def test_the_hash_has_the_content_and_nothing_else_of_it(read: Read, tmp_path: Path) -> None:
    plain, red, blue, again, pinned, two = (
        sample.content_hash
        for sample in read(
            {"id": "a"},
            *({"id": k, "image": v} for k, v in {"b": "red.png", "c": "blue.jpg"}.items()),
            {"id": "d", "image": "red.png"},
            {"id": "e", "image": {"path": "red.png", "sha256": RED}},
            {"id": "f", "image": ["red.png", "red.png"]},
        ).samples
    )
    assert len({plain, red, blue, again, pinned, two}) == 6  # ids differ
    (one,) = read({"image": "red.png"}).samples
    shutil.copy(tmp_path / "tiny" / "red.png", tmp_path / "tiny" / "copy.png")
    (other,) = read({"image": {"path": "copy.png", "sha256": RED}}).samples
    (made,) = read({"image": {"generator": "plain", "seed": 255}}).samples
    (else_,) = read({"image": "blue.jpg"}).samples
    assert one.content_hash == other.content_hash == made.content_hash != else_.content_hash
    (text,) = read({}).samples
    assert text.content_hash == "d9eacf3014b1f806"  # as it was before there were media


def test_generated(read: Read) -> None:
    seven, eight = read(
        {"image": {"generator": "plain", "seed": 7}},
        {"image": {"generator": "plain", "seed": 8, "size": [1, 2]}},
    ).samples
    assert seven.media[0].generator == "generator 'plain' version 2, seed 7"
    assert seven.media[0].sha256 == hashlib.sha256(png(colour=(7, 0, 0))).hexdigest()
    assert Path(eight.media[0].path).read_bytes() == png(colour=(8, 0, 0))


def test_nothing_is_run_or_decoded_for_a_review(read: Read, tmp_path: Path) -> None:
    named = {"generator": "plain", "seed": 7, "sha256": "0" * 64}
    lines = (
        {"image": {"generator": "unknown", "seed": 7}},
        {"image": {"generator": "unknown", "seed": 8}},
        {"image": named},
        {"image": "red.png"},
    )
    found = [sample.media[0].sha256 for sample in read(*lines, generators=None).samples]
    assert found[2:] == ["0" * 64, RED]
    assert len(set(found)) == 4
    assert found == [s.media[0].sha256 for s in read(*lines, generators=None).samples]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"image": "none.png"}, "image: none.png: no such file; put it there, or correct the path"),
        (
            {"image": {"path": "red.png", "sha256": "1" * 64}},
            f"image: red.png: changed: its sha256 is {RED}, the sample says {'1' * 64}; put the "
            "old file back, or give the task set a new version with the new sha256",
        ),
        (
            {"image": {"path": "red.png", "sha256": "12"}},
            "image.sha256: '12': expected 64 hex digits, small",
        ),
        (
            {"image": {"path": "red.png", "sha": "12"}},
            "image.sha: unknown key; Known: path, sha256",
        ),
        (
            {"image": {"path": "red.png", "generator": "plain"}},
            "image: {'path': 'red.png', 'generator': 'plain'}: expected the path of a file, "
            '{"path": …}, or {"generator": …, "seed": …}',
        ),
        (
            {"image": ["red.png", 7]},
            'image: 7: expected the path of a file, {"path": …}, or {"generator": …, "seed": …}',
        ),
        ({"image": ""}, "image: '': expected the path of a file"),
        ({"image": "a\0b"}, "image: 'a\\x00b': expected the path of a file"),
        (
            {"image": "/dev/zero"},
            "image: '/dev/zero': an absolute path is right on one machine alone; name it from the "
            "task set's folder",
        ),
        ({"image": "sub"}, "image: sub: cannot be read: [Errno 21] Is a directory: 'sub'"),
        ({"image": []}, "image: an empty list; name a file, or leave the key out"),
        ({"image": ["red.png"] * 65}, "65 images and recordings; at most 64"),
        (
            {"audio": "red.png"},
            "audio: red.png: png, a format of images; wav, flac, ogg, mp3 are read, whatever the "
            "file's name",
        ),
        (
            {"image": {"generator": "plian", "seed": 1}},
            "image.generator: unknown 'plian'; did you mean 'plain'? Known: plain",
        ),
        (
            {"audio": {"generator": "plain", "seed": 1}},
            "audio.generator: 'plain' makes images; name it as 'image'",
        ),
        (
            {"image": {"generator": "plain", "seed": True}},
            "image.seed: True: expected a whole number of at least 0",
        ),
        (
            {"image": {"generator": "plain"}},
            "image.seed: None: expected a whole number of at least 0",
        ),
        (
            {"image": {"generator": "plain", "seed": 1000}},
            "image: generator 'plain' version 2, seed 1000: ValueError: bytes must be in "
            "range(0, 256); mend the generator, or the sample",
        ),
        (
            {"input": f"See {PLACE}"},
            "input: holds U+FFFC, which stands for an image or a recording, and the sample has "
            "none; take the character out, or add 'image' or 'audio'",
        ),
        (
            {"input": f"See {PLACE}", "image": ["red.png", "red.png"]},
            "input: 1 places (U+FFFC) for 2 images and recordings; give each one a place, or none",
        ),
        (
            {"image": "red.png", "choices": ["a", f"b{PLACE}"]},
            "choices: 'b￼' holds U+FFFC, which stands for an image or a recording; take the "
            "character out",
        ),
        (
            {"input": [{"type": "text", "text": "x"}], "image": "red.png"},
            'image: stands beside an input of parts; make it a part: {"type": "image", "image": …}',
        ),
        (
            {"input": [{"type": "image", "image": "red.png"}]},
            "input: no part has text",
        ),
        ({"input": []}, "input: no part has text"),
        (
            {"input": [{"type": "imgae", "image": "red.png"}]},
            "input[0]: {'type': 'imgae', 'image': 'red.png'} is no part; expected "
            "{\"type\": KIND, KIND: …}; did you mean 'image'? Known: audio, image, text",
        ),
        (
            {"input": ["x"]},
            "input[0]: 'x' is no part; expected {\"type\": KIND, KIND: …}; Known: audio, image, "
            "text",
        ),
        (
            {"input": [{"type": "text", "text": 3}]},
            "input[0].text: expected a string without U+FFFC",
        ),
        (
            {"input": [{"type": "text", "text": "x"}, {"type": "image", "image": "none"}]},
            "input[1].image: none: no such file; put it there, or correct the path",
        ),
    ],
)
def test_messages(
    said: Callable[[Mapping[str, Any]], str], line: Mapping[str, Any], text: str
) -> None:
    assert said(line) == text


@pytest.mark.parametrize("path", ["../other/red.png", "link.png"])
def test_no_path_leaves_the_task_set(
    read: Read, said: Callable[[Mapping[str, Any]], str], tmp_path: Path, path: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "red.png").write_bytes(png())
    read({})
    (tmp_path / "tiny" / "link.png").symlink_to(tmp_path / "other" / "red.png")
    assert said({"image": path}) == (
        f"image: {path}: leads out of {tmp_path / 'tiny'}, to {tmp_path / 'other' / 'red.png'}; "
        "put the file itself there, or declare the folder that it lies in"
    )


def test_a_bad_file_names_line_and_sample(read: Read, tmp_path: Path) -> None:
    read({})
    bad = {
        "cut.png": png()[:-30],
        "huge.png": png(size=(40_000, 40_000)),
        "empty.wav": wav(b""),
        "corrupt.wav": wav()[:20] + bytes(24) + wav()[44:],
        "long.wav": wav(bytes([128]) * (3 * 3600 * 4000), rate=4000, bits=8),
    }
    for name, data in bad.items():
        (tmp_path / "tiny" / name).write_bytes(data)
        kind = "image" if name.endswith("png") else "audio"
        with pytest.raises(TaskSetError) as caught:
            read({"image": "red.png"}, {kind: name})
        where = f"{tmp_path / 'tiny' / 'samples.jsonl'}:2: sample 's1': {kind}: "
        assert str(caught.value).startswith(f"{where}{tmp_path / 'tiny' / name}: ")


def test_limits_and_slices_know_media(read: Read) -> None:
    drawn: list[dict[str, Any]] = [{"generator": "plain", "seed": k} for k in range(9)]
    whole = read(*({"image": one, "metadata": {"hue": one["seed"] % 2}} for one in drawn))
    few = limited(whole, 4, "limit = 4")
    assert len(few.samples) == 4
    assert all(sample.media for sample in few.samples)
    assert slice_by(whole, "hue")(whole.samples[1]) == "1"


def rules(task_set: TaskSet) -> list[str]:
    return [str(f) for f in lint.check(task_set) if f.rule != "small-bucket"]


def test_equal_words_about_other_pictures_are_no_duplicates(read: Read) -> None:
    pinned = [{"image": {"generator": "plain", "seed": k, "sha256": _sha(k)}} for k in range(3)]
    assert rules(read(*pinned)) == []
    assert rules(read(*pinned, {"image": pinned[0]["image"], "cluster": "x"})) == [
        "error: duplicate: s0 and s3 are the same; remove one",
        "warning: same-media: what generator 'plain' version 2, seed 0 makes stands under s0, s3: "
        "what one of them tells, the others tell again; give them the same 'cluster'",
    ]


def _sha(seed: int) -> str:
    return hashlib.sha256(png(colour=(seed, 0, 0))).hexdigest()


def test_lint(read: Read, tmp_path: Path) -> None:
    read({})
    (tmp_path / "tiny" / "a-red-one.png").write_bytes(png(7, 20))
    (tmp_path / "tiny" / "short.wav").write_bytes(wav(struct.pack("<h", 9) * 200))
    found = rules(
        read(
            {"image": "a-red-one.png", "input": "One?"},
            {"image": "a-red-one.png", "input": "And two?", "cluster": "x"},
            {"image": "blue.jpg", "input": "Three and more?"},
            {"image": {"generator": "plain", "seed": 3}, "input": "Four of them?"},
            {"audio": "short.wav", "input": "Five, then?", "target": 1, "choices": ["no", "tone"]},
        )
    )
    assert found == [
        "warning: misnamed-media: blue.jpg is png: it is read as that, and other tools may go by "
        "its name; call it blue.png",
        "warning: same-media: a-red-one.png stands under s0, s1: what one of them tells, the "
        "others tell again; give them the same 'cluster'",
        "warning: telling-name: s0, s1: the file's name holds the answer, and an engine, a report "
        "or a prompt may show it; name files by number",
        "warning: tiny-media: s0, s1, s4: an image with a side below 8 pixels, or a recording "
        "below 0.1 s; look at the file",
        "warning: unpinned-media: s3: made by a generator, and no 'sha256' says what; where "
        "another version of a library draws other bytes, nobody is told: name the sha256",
    ]


def test_training_data_that_shows_the_same(read: Read, tmp_path: Path) -> None:
    tested = read(
        {"id": "a", "image": "red.png"},
        {"id": "b", "audio": "sub/tone.wav"},
        {"id": "c", "image": ["blue.jpg", {"generator": "plain", "seed": 7}]},
        {"id": "d", "image": {"generator": "plain", "seed": 8}},
    )
    rows = [
        {"input": "What is it?", "reply": "x"},
        {"input": "x", "reply": "x", "image": ["tiny/red.png", {"sha256": _sha(7)}]},
        {"input": "x", "reply": "x", "audio": {"path": "tiny/sub/tone.wav"}},
    ]
    train = tmp_path / "train.jsonl"
    train.write_text("\n\n".join(json.dumps(row) for row in rows))
    assert leakage.leaks(tested, leakage.read(train)) == ()  # the same words, other pictures
    found = leakage.shown_again(tested, leakage.shown(train), source="train.jsonl")
    assert [f"{one.level} {one.rule}: {one.message}" for one in found] == [
        "error leak-media: a shows red.png, which stands in train.jsonl:3; remove that line from "
        "the training data, or the sample",
        "error leak-media: b shows tone.wav, which stands in train.jsonl:5; remove that line from "
        "the training data, or the sample",
        f"error leak-media: c shows {_sha(7)}.png, which stands in train.jsonl:3; remove that line "
        "from the training data, or the sample",
    ]
    train.write_text(json.dumps({"input": "x", "image": "none.png"}))
    with pytest.raises(TaskSetError, match=r"train.jsonl:1: image: .*none.png: cannot be read: "):
        leakage.shown(train)
    train.write_text(json.dumps({"input": "x", "image": 3}))
    with pytest.raises(TaskSetError, match="image: names no file and no sha256; give it one"):
        leakage.shown(train)


def test_a_part_takes_its_files_along(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    whole = read(
        {"image": ["red.png", "red.png"], "audio": "sub/tone.wav"},
        {"image": "blue.jpg"},
        {"image": {"generator": "plain", "seed": 7}},
    )
    written = part.write(whole, {"s0", "s2"}, tmp_path / "part", lambda _: None, {"plain": DRAWN})
    assert [s.content_hash for s in written.samples] == [
        whole.samples[0].content_hash,
        whole.samples[2].content_hash,
    ]
    names = {p.relative_to(tmp_path / "part").as_posix() for p in (tmp_path / "part").rglob("*.*")}
    assert names == {"red.png", "sub/tone.wav", "samples.jsonl", "task_set.toml"}


def test_helpers_for_tests_of_suites(tmp_path: Path) -> None:
    samples = [
        {**GOOD, "image": "a/red.png"},
        {**GOOD, "id": "b", "audio": "tone.wav"},
    ]
    files = {
        "a/red.png": testing.small_image((255, 0, 0), width=9, height=5),
        "tone.wav": testing.small_recording(440, seconds=0.25, rate=8000),
    }
    folder = testing.write_task_set(tmp_path / "small", samples, files=files)
    one, other = tasksets.read(folder, lambda _: None, tmp_path / "cache").samples
    assert (one.media[0].width, one.media[0].height) == (9, 5)
    assert images.opened(one.media[0]).getpixel((3, 3)) == (255, 0, 0)
    heard = sound.waveform(other.media[0], 8000)
    assert (heard.size, round(float(heard.max()), 3)) == (2000, 0.5)


def test_reading_twice_is_the_same(read: Read) -> None:
    lines = [{"image": "red.png"}, {"audio": "sub/tone.wav"}]
    assert read(*lines) == read(*lines)
    assert json.dumps(read(*lines).samples[0].shown) == json.dumps([["image", RED]])
