"""Hostile manifests, configurations and names."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import h5py
import yaml

from benchmarks.reliability.judging import Case
from benchmarks.reliability.mutations import (
    TEXTS,
    Rng,
    any_value,
    copied,
    damage,
    places,
    replaced,
)
from benchmarks.reliability.originals import Originals

#: A few hundred bytes that expand to 10^9 words, in mappings or in lists.
LAUGHS = "\n".join(
    ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)

#: Files of YAML that are none.
BROKEN = {
    "not UTF-8": b"data:\n  root: caf\xe9\n",
    "UTF-16": "data:\n  root: x\n".encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbfdata:\n  batch_size: 2\n",
    "NUL": b"data:\n  root: 'a\0b'\n",
    "an escaped NUL": b'data:\n  root: "a\\0b"\n',
    "a tab": b"data:\n\troot: x\n",
    "laughs": LAUGHS.encode(),
    "laughs in data": f"{LAUGHS}\ndata:\n  regions: *i\n".encode(),
    "recursive": b"data: &d\n  root: *d\n",
    "recursive list": b"model:\n  features: &f [*f]\n",
    "twice": b"data:\n  batch_size: 2\n  batch_size: 3\n",
    "twice at the top": b"data:\n  batch_size: 2\nmodel:\n  lr: 1\ndata:\n  batch_size: 3\n",
    "a list": b"- 1\n- 2\n",
    "a text": b"hello",
    "a number": b"3\n",
    "empty": b"",
    "comment": b"# nothing\n",
    "two documents": b"data:\n  batch_size: 2\n---\ndata:\n  batch_size: 4\n",
    "deep": b"[" * 5000,
    "deep mapping": b"data: " + b"{a: " * 3000,
    "python tag": b"data:\n  root: !!python/object/apply:os.system ['touch pwned']\n",
    "unknown tag": b"data:\n  root: !secret x\n",
    "merge": b"x: &x {batch_size: 2}\ndata:\n  <<: *x\n",
    "merge of itself": b"data: &d\n  <<: *d\n",
    "binary": bytes(range(256)),
    "key is a list": b"? [a, b]\n: 1\n",
    "key is a number": b"1: 2\n",
    "digits": b"data:\n  batch_size: " + b"9" * 5000 + b"\n",
    "sexagesimal": b"data:\n  batch_size: " + b"1:" * 500 + b"1\n",
    "date": b"data:\n  batch_size: 2020-01-01\n",
    "no such date": b"data:\n  batch_size: 2020-13-45\n",
}


def yaml_file(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a configuration."""
    path, must, what = folder / "config.yaml", None, "nothing"
    config = replaced(originals.config, ("data", "root"), str(originals.world))
    draw = rng.random()
    if draw < 0.3:
        what = str(rng.choice(list(BROKEN)))
        path.write_bytes(BROKEN[what])
    elif draw < 0.85:
        place = list(places(config))[rng.integers(sum(1 for _ in places(config)))]
        new = ... if rng.random() < 0.2 else any_value(rng)
        what = f"{place} = {new!r:.60}"
        path.write_text(yaml.safe_dump(replaced(config, place, new)), encoding="utf-8")
    else:
        path.write_text(yaml.safe_dump(config))
        what = damage(rng, path) if draw < 0.97 else what
        must = "right" if what == "nothing" else None
    draw = rng.random()
    if draw < 0.7:
        arguments = ["fit", "--config", str(path), "--trainer.logger", "false"]
        arguments += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]
    elif draw < 0.85:
        arguments = ["map", *originals.map, "--output", "map", "--model", str(path)]
        must = None
    else:
        arguments = ["calibrate", "--config", str(path), "--checkpoint", str(originals.checkpoint)]
        arguments += ["--output", "out", "--device", "cpu"]
        copied(originals.checkpoint, folder / "own.ckpt")
        arguments[4] = str(folder / "own.ckpt")
        must = None
    case = Case(what, arguments, [], must)
    case.check = lambda: "code was run" if (folder / "pwned").exists() else None
    return case


def manifest(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Make a table of scenes."""
    path, must = folder / "scenes.csv", "right"
    rows: list[dict[Any, Any]] = [
        {
            "name": f"scene {number}",
            "scene": str(originals.tile),
            "region": "HMA",
            "date": "2020-08",
            "sensor": "OLI",
        }
        for number in range(2)
    ]
    kind = int(rng.integers(13))
    encoding, what = "utf-8", "nothing"
    if kind in (1, 2, 3, 4):
        column, text = str(rng.choice(list(rows[0]))), str(rng.choice(TEXTS))
        rows[0][column] = text
        what, must = f"{column} is {text!r}", None
    elif kind == 5:
        name = str(rng.choice(TEXTS))
        rows = [{name if k == "sensor" else k: v for k, v in row.items()} for row in rows]
        what, must = "another column", None
    elif kind == 6:
        encoding = str(rng.choice(["utf-8-sig", "utf-16", "latin-1"]))
        rows[0]["sensor"] = "Ö"
        what, must = encoding, "right" if encoding == "utf-8-sig" else "error"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue()
    if kind == 7:
        content, what, must = content.replace("OLI", 'O"LI'), "a quote within a cell", None
    elif kind == 8:
        content, what, must = content.replace("OLI", "O\0LI"), "a NUL in a cell", "error"
    elif kind == 9:
        number = int(rng.choice([10_000, 1_000_000]))
        content += "".join(f"s{n},nowhere,HMA,2020,OLI\n" for n in range(number))
        what, must = f"{number} lines more", "error"
    elif kind == 10:
        content, what, must = content.replace("OLI", "x" * 200_000), "a cell of 200,000", None
    elif kind == 11:
        content, what, must = content.replace("\r\n", "\n").replace(",", ";"), "semicolons", "right"
    path.write_bytes(content.encode(encoding))
    if kind == 12:
        what, must = damage(rng, path), None
    commands = [["info", str(path)], ["info", "--check", str(path)]]
    test = ["test", *originals.test, "--data.root", str(path)]
    arguments = [*commands, test][rng.integers(3)]
    return Case(what, arguments, [path.name], must)


def names(rng: Rng, originals: Originals, folder: Path) -> Case:
    """Give a tile, a scene, a sensor, a file or a run a name that some program would not expect."""
    text = str(rng.choice(TEXTS))
    if rng.random() < 0.2:
        text = os.fsdecode(b"caf\xe9 \xff" + text[:3].encode())
    kind = int(rng.integers(7))
    name = text.replace("/", "_").replace("\0", "")
    test = ["test", *originals.test, "--data.root"]
    what = f"{name!r} as "
    if kind == 0:
        copied(originals.tile, folder / "world" / "test" / name)
        return Case(what + "a tile tested", [*test, str(folder / "world")], [], _visible(name))
    if kind == 1:
        rows = [["name", "scene", "region", "date", "sensor"]]
        rows += [[f"a{text}", str(originals.tile), "HMA", "2020", "A"]]
        rows += [["b", str(originals.tile), "SC", "2021", text]]
        path = folder / "scenes.csv"
        with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
            csv.writer(file).writerows(rows)
        return Case(what + "a scene and a sensor", [*test, str(path)], [path.name])
    if kind == 2:
        path = folder / "test.hdf5"
        name = name.encode(errors="replace").decode()
        with h5py.File(originals.benchmark / "test.hdf5") as source, h5py.File(path, "w") as file:
            tile = next(iter(source))
            source.copy(tile, file, name)
            file[name].attrs["subregion"] = name
        command = [["convert", str(path), "out"], ["info", str(path)], [*test, str(folder)]]
        return Case(what + "a tile in HDF5", command[rng.integers(3)], [path.name])
    if kind == 3:
        run = copied(originals.tested, folder / f"run{name}")
        stored = json.loads((run / "report.json").read_text())
        for table in ("regions", "subregions", "tiles"):
            for row in stored[table]:
                row |= {key: text for key in ("tile", "subregion") if key in row}
        for place in list(places(stored))[: rng.integers(3)]:
            stored = replaced(stored, place, any_value(rng))
        (run / "report.json").write_text(json.dumps(stored))
        return Case(what + "a run", ["report", str(run)], ["report.json", "run"])
    if kind == 4:
        output = str(folder / f"map{name}")
        return Case(
            what + "a map's folder",
            ["map", *originals.map, "--output", output],
            [],
            _visible("x" + name),
        )
    if kind == 5:
        path = copied(originals.outlines, folder / f"a{name}.gpkg")
        arguments = ["compare", str(path), str(originals.outlines), "--output", "out"]
        return Case(what + "a file of outlines", arguments, [], _visible("x" + name))
    copied(originals.tile, folder / "world" / "train" / name)
    copied(originals.world / "val", folder / "world" / "val")
    command = [["info", str(folder / "world")], ["info", "--check", str(folder / "world")]]
    copied(originals.tile, folder / "world" / "test" / name)
    arguments = [*command, ["predict", *originals.test, "--data.root", str(folder / "world")]]
    return Case(what + "a tile", arguments[rng.integers(3)], [])


def _visible(name: str) -> str | None:
    # pyogrio takes names with ! or ; for addresses, so these may be refused.
    named = name.encode(errors="replace").decode() == name and not set(name) & set("\t\r\n!;")
    return "right" if named and not name.startswith(".") else None
