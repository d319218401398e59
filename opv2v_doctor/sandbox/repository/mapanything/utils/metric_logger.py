"""Meters that smooth a value, and the lines of the training log that they make."""

import datetime
import time
from collections import defaultdict, deque

import torch


class SmoothedValue:
    """A value over time: its last ones in a window, and the average of all."""

    def __init__(self, window_size=20, fmt="{median:.4f} ({global_avg:.4f})"):
        self.window = deque(maxlen=window_size)
        self.total, self.count = 0.0, 0
        self.fmt = fmt

    def update(self, value, n=1):
        """Take in a value, n times."""
        self.window.append(value)
        self.total += value * n
        self.count += n

    @property
    def median(self):
        return torch.tensor(list(self.window), dtype=torch.float64).median().item()

    @property
    def avg(self):
        return sum(self.window) / len(self.window)

    @property
    def global_avg(self):
        return self.total / self.count

    @property
    def value(self):
        return self.window[-1]

    def __str__(self):
        return self.fmt.format(median=self.median, avg=self.avg, global_avg=self.global_avg, value=self.value)


class MetricLogger:
    """Meters by name, and progress lines while iterating."""

    def __init__(self, delimiter="  ", print_per_view_stats=False, window_size=20):
        self.meters = defaultdict(lambda: SmoothedValue(window_size))
        self.delimiter = delimiter
        self.print_per_view_stats = print_per_view_stats

    def update(self, **values):
        """Take in one value for each name."""
        for name, value in values.items():
            self.meters[name].update(float(value))

    def add_meter(self, name, meter):
        """Use this meter for the name."""
        self.meters[name] = meter

    def __str__(self):
        shown = [name for name in self.meters if self.print_per_view_stats or "view" not in name]
        return self.delimiter.join(f"{name}: {self.meters[name]}" for name in shown)

    def log_every(self, iterable, print_freq, header=""):
        """Yield the items, and print a line for every `print_freq`-th and for the last one."""
        count, started = len(iterable), time.time()
        step_time, data_time = SmoothedValue(fmt="{avg:.4f}"), SmoothedValue(fmt="{avg:.4f}")
        before = started
        for number, item in enumerate(iterable):
            data_time.update(time.time() - before)
            yield item
            step_time.update(time.time() - before)
            if number % print_freq == 0 or number == count - 1:
                print(self._line(header, number, count, step_time, data_time))
            before = time.time()
        seconds = time.time() - started
        total = datetime.timedelta(seconds=int(seconds))
        print(f"{header} Total time: {total} ({seconds / max(count, 1):.4f} s / it)")

    def _line(self, header, number, count, step_time, data_time):
        eta = datetime.timedelta(seconds=int(step_time.global_avg * (count - number)))
        parts = [header, f"[{number:{len(str(count))}d}/{count}]", f"eta: {eta}", str(self)]
        parts += [f"time: {step_time}", f"data: {data_time}"]
        if torch.cuda.is_available():
            parts.append(f"max mem: {torch.cuda.max_memory_allocated() / 2**20:.0f}")
        return self.delimiter.join(parts)
