"""What is recorded of a training: TensorBoard scalars, and log.txt."""

import json

from mapanything.utils.train_tools import is_main_process


def write_scalars(log_writer, values, step):
    """To TensorBoard, from the process that has a writer."""
    for name, value in values.items() if log_writer is not None else ():
        log_writer.add_scalar(name, value, step)


def write_log_stats(output_dir, epoch, train_stats, test_stats):
    """One line of JSON in log.txt, from the first process."""
    if is_main_process():
        line = {"epoch": epoch} | {f"train_{name}": value for name, value in train_stats.items()}
        for test_name, stats in test_stats.items():
            line |= {f"{test_name}_{name}": value for name, value in stats.items()}
        with (output_dir / "log.txt").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
