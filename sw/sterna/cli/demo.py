"""``sterna demo``: the whole job on real digits, from training to the Verilated accelerator."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.compile import print_fit
from sterna.cli.evaluate import Measured, equal_images, held_out_value, measure
from sterna.cli.opening import opened
from sterna.cli.output import print_json, print_table, work
from sterna.cli.train import train_and_save
from sterna.spec.errors import InputError
from sterna.spec.values import MAX_SEED

LEAST_ACCURACY = 0.97
MOST_CYCLES = 0.5
"""Of the dense count, with both skips."""
MODEL_TOLERANCE = 0.10
"""Between the counted cycles and the cycle model's."""


@dataclass(frozen=True)
class Run:
    """One pass over the held-out images: bytes that loading took, counted and modelled cycles per image."""

    measured: Measured
    loaded: int
    counted: float
    modelled: float

    @property
    def off(self) -> float:
        """Relative difference of the count from the model."""
        return self.counted / self.modelled - 1


def demo(
    preset: Annotated[str, typer.Option(help="What to train.")] = "digits-mlp",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the training.")] = 0,
    configuration: Annotated[str, typer.Option(help="Build of the accelerator.")] = "icebreaker",
    on: Annotated[
        str | None, typer.Option(help="Device in place of the simulation of CONFIGURATION, e.g. a serial port.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model file and image.")] = Path(
        "build/demo"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON before the last line.")] = False,
) -> None:
    """Train, compile, build, load, infer the held-out set and compare with golden, output by output."""
    from sterna.compiler import compile_network, model_cycles
    from sterna.compiler.compile import fit_report
    from sterna.data import load
    from sterna.spec.configuration import configuration_named
    from sterna.spec.model_file import bits_per_weight, load_network
    from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, Skips
    from sterna.train import preset_named

    chosen = configuration_named(configuration)
    if not chosen.activation_skip:
        raise InputError(f"{configuration} issues all activations; the demo shows what skipping them saves")
    url = on or f"sim:{configuration}"
    data = preset_named(preset).dataset
    model_file, image_file = output / f"{data}.safetensors", output / f"{data}.image"
    with work() as shown:
        trained = train_and_save(preset, seed, model_file, None, shown)
        network = load_network(model_file)
        image = compile_network(network, chosen)
        image_file.write_bytes(image.to_bytes())
        dataset = load(data)
        images = dataset.test_images.reshape(len(dataset.test_images), -1)
        golden = network.predict(images)
        with opened(url, shown) as device:

            def one_pass(text: str, skips: Skips) -> Run:
                before = device.statistics.bytes_sent
                with shown.counted(f"load, {text}") as bar:
                    device.load(network, skips=skips, progress=bar)
                loaded = device.statistics.bytes_sent - before
                measured = measure(device, images, f"infer, {text}", shown)
                modelled = model_cycles(network, chosen, images, skips)
                return Run(measured, loaded, measured.counters.cycles / len(images), modelled.total)

            with_skip, dense = one_pass("with skips", ALL_SKIPS), one_pass("dense", NO_SKIPS)
            sent, received = device.statistics.bytes_sent, device.statistics.bytes_received

    n = len(images)
    rounded = sum(layer.changed_by_rounding for layer in trained.report.layers)
    count = with_skip.measured.counters
    slots = max(1, count.positions)
    exact = min(equal_images(run.measured.outputs, golden) for run in (with_skip, dense))
    device_accuracy = held_out_value(with_skip.measured.outputs, network, dataset)
    golden_accuracy = held_out_value(golden, network, dataset)
    bits = bits_per_weight(network)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (model_file, image_file)}
    results = {
        "n": n,
        "accuracy": {"float": trained.float_accuracy, "quantised": trained.quantised_accuracy,
                     "golden": golden_accuracy, "device": device_accuracy},
        "equal_golden": exact,
        "cycles_per_image": {"with_skip": with_skip.counted, "dense": dense.counted},
        "cycle_model": {"with_skip": with_skip.modelled, "dense": dense.modelled},
        "skipped": {"activations": count.skipped_activations / slots, "weight_blocks": count.skipped_blocks / slots},
        "conversion": {"compared": trained.report.compared, "differing": trained.report.differing,
                       "changed_by_rounding": rounded},
        "bits_per_weight": bits,
        "link_bytes": {"load": with_skip.loaded, "load_dense": dense.loaded, "sent": sent, "received": received},
        "sha256": digests,
    }  # fmt: skip
    if json:
        print_json(results)
    else:
        print_fit(fit_report(network, chosen))
        print_table(f"{preset} on {url}, {n} held-out images", ["measure", "value"], [
            ["accuracy: float", f"{trained.float_accuracy:.2%}"],
            ["accuracy: fake-quantised", f"{trained.quantised_accuracy:.2%}"],
            ["accuracy: golden", f"{golden_accuracy:.2%}"],
            ["accuracy: device", f"{device_accuracy:.2%}"],
            ["images with every output equal to golden's", f"{exact} of {n}"],
            ["requantiser values compared / differing", f"{trained.report.compared} / {trained.report.differing}"],
            ["… moved by rounding slopes to the multiplier's bits", f"{rounded}"],
            ["cycles per image, dense (cycle model)", f"{dense.counted:.1f} ({dense.modelled:.1f}, {dense.off:+.1%})"],
            ["cycles per image, with skips (cycle model)",
             f"{with_skip.counted:.1f} ({with_skip.modelled:.1f}, {with_skip.off:+.1%})"],
            ["issue slots skipped by weight blocks", f"{count.skipped_blocks / slots:.1%}"],
            ["issue slots skipped by activations", f"{count.skipped_activations / slots:.1%}"],
            ["bits per weight, everything counted", f"{bits:.3f}"],
            ["bytes over the link: load / load, dense / all sent / received",
             f"{with_skip.loaded} / {dense.loaded} / {sent} / {received}"],
        ])  # fmt: skip
        for name, digest in digests.items():
            typer.echo(f"{output / name}  sha256 {digest}")

    wrong = []
    if device_accuracy < LEAST_ACCURACY:
        wrong.append(f"accuracy is below {LEAST_ACCURACY:.0%}")
    if exact != n:
        wrong.append("outputs differ from golden's")
    if with_skip.counted > MOST_CYCLES * dense.counted:
        wrong.append(f"the skips save less than {1 - MOST_CYCLES:.0%} of the cycles")
    if not dense.counted:
        wrong.append(f"{url} counts no cycles")
    elif max(abs(with_skip.off), abs(dense.off)) > MODEL_TOLERANCE:
        wrong.append(f"cycles are more than {MODEL_TOLERANCE:.0%} off the cycle model")
    for reason in wrong:
        typer.echo(f"sterna: demo: {reason}", err=True)
    typer.echo(f"demo: {'failed' if wrong else 'ok'} accuracy={100 * device_accuracy:.1f} exact={exact}/{n} "
               f"cycles={with_skip.counted:.0f}/{dense.counted:.0f} bits_per_weight={bits:.2f}")  # fmt: skip
    if wrong:
        raise typer.Exit(1)
