"""Launch scripts are read as bash would run them, and nothing of them runs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from opv2v_doctor.facts.launch.shell import UNKNOWN, Shell, Started

HERE = Path("/repo")


def read(text: str, folder: Path = HERE, env: Mapping[str, str] | None = None) -> list[Started]:
    shell = Shell(folder, env=env)
    shell.run(text)
    return shell.started


def words(text: str) -> tuple[str, ...]:
    """The words of the last program that a text starts; `?` for what only a run could tell."""
    return tuple(word.replace(UNKNOWN, "?") for word in read(text)[-1].words)


# what bash itself makes of these is asked of bash
AS_BASH = [
    "A=1 B=${A:-2} C=${D:-3}; p $A $B $C ${E-e} ${E:-} ${A:+set} ${E:+set}",
    'p ${N:-${M:-2}} "${N:-${M:-a b}}" ${N:-a b}',
    'L=(a \'b c\'); L+=(d); p ${#L[@]} "${L[@]}" ${L[1]} "x${L[0]}y"',
    'L=(); p "${L[@]}" end',
    "p '${now:%Y}' \"\\${now:%H}\" \\${a} [1,2] \"a  b\" a\\ b 'it''s'",
    "E='a=1 b=2'; p $E \"$E\"",
    "p $((2 * 3 - 1)) $(( (7 + 1) / 2 )); N=4; p $((N / 2)) $(($N % 3))",
    "F=out/run.tar.gz; p ${F%.*} ${F%%.*} ${F#*/} ${F##*.}",
    'if [ -z "$X" ]; then N=4; else N=8; fi; p $N',
    'X=1; if [[ -n "$X" ]]; then N=4; else N=8; fi; p $N',
    "N=3; if [ $N -lt 2 ]; then M=a; elif [ $N -lt 4 ]; then M=b; else M=c; fi; p $M",
    "case b in a) N=1;; b|c) N=2;; *) N=3;; esac; p $N",
    "[ a = b ] && N=1; [ a = a ] && M=2; p ${N:-0} $M",
    "for i in 1 2; do N=$N$i; done; p $N",
    "f() { M=$1; shift; p \"$@\"; }; f a b 'c d'; p $M",
    "(N=1); N=${N:-2}; p $N",
    'set -- a b; p $2 $#; shift; p "$@" $#',
    "C='p a b'; $C c; eval \"$C d\"",
    "export A=1 B=2; A=3 p x; p $A",
    'p `echo a` $(echo b c) "$(basename /x/y)" "$(dirname /x/y)"',
    "p a | cat; true || p b; p c && p d",
    "N=1; { N=2; }; p $N",
    'p "${1:-4}" "${@:2}" $#',
]


@pytest.mark.parametrize("script", AS_BASH)
def test_it_reads_what_bash_runs(script: str, tmp_path: Path) -> None:
    program = tmp_path / "p"
    program.write_text('#!/bin/bash\nprintf "%s\\0" "$@"; printf "\\n"\n')
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    ran = [line.split("\0")[:-1] for line in done.stdout.splitlines()]
    found = [list(started.words[1:]) for started in read(script, env=env) if started.words[0] == "p"]
    assert found == ran


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("p $(date +%Y) a$(nproc)b", ("p", "?", "a?b")),
        ("p $X ${Y} ${Z:-z}", ("p", "?", "?", "z")),
        ('p $1 ${2:-b} "$@"', ("p", "?", "b")),
        ("if grep -q a b; then N=1; else N=2; fi; p $N", ("p", "?")),
        ("if grep -q a b; then N=1; fi; N=1; p $N", ("p", "1")),
        ("N=1; if [ $# -lt 1 ]; then usage; exit 1; fi; p $N", ("p", "1")),
        ('if [ -z "$1" ]; then exit 1; fi; p', ("p",)),
        ("while read -r line; do N=$line; done; p $N", ("p", "?")),
        ("case $MODE in a) N=1;; *) N=2;; esac; p $N", ("p", "?")),
        ("p <(sort a) ${X//a/b}", ("p", "?", "?")),
        ("cat <<EOF\ntorchrun\nEOF\np", ("p",)),
    ],
)
def test_what_only_a_run_could_tell_is_unknown(script: str, expected: tuple[str, ...]) -> None:
    assert words(script) == expected


@pytest.mark.parametrize(
    ("script", "folder"),
    [
        ("cd scripts; p", HERE / "scripts"),
        ("cd a && p", HERE / "a"),
        ("(cd a); p", HERE),
        ("(cd a; p)", HERE / "a"),
        ("cd $NOWHERE; p", HERE),
        ("cd a; cd -; p", HERE / "a"),
    ],
)
def test_where_a_program_starts(script: str, folder: Path) -> None:
    assert read(script)[-1].folder == folder


def test_what_a_program_is_given(tmp_path: Path) -> None:
    (started,) = read("export A=1 B=$(date)\nC=3\nD=$A E=. p")
    assert {name: started.env[name] for name in "ADE"} == {"A": "1", "D": "1", "E": "."}
    assert started.env["B"] == UNKNOWN
    assert "C" not in started.env


@pytest.mark.parametrize(
    ("line", "inner", "env"),
    [
        ("env -u B A=1 srun -n 4 --gpus=2 python t.py", ("python", "t.py"), {"A": "1"}),
        ("conda run -n one --no-capture-output python -m t", ("python", "-m", "t"), {}),
        ("nohup timeout -k 5 3h torchrun t.py &", ("torchrun", "t.py"), {}),
        ("exec uv run python t.py", ("python", "t.py"), {}),
        ("apptainer exec --nv -B /data image.sif python t.py", ("python", "t.py"), {}),
        ("time p", ("p",), {}),
    ],
)
def test_wrappers_are_taken_off(line: str, inner: tuple[str, ...], env: dict[str, str]) -> None:
    (started,) = read(line)
    assert started.words == inner
    assert dict(started.env) == env
    assert started.wrappers


def test_scripts_that_are_sourced_and_called_are_followed_within_the_repository(tmp_path: Path) -> None:
    (tmp_path / "env.sh").write_text("export NUM=3\n")
    (tmp_path / "run.sh").write_text('cd "$(dirname "$0")"\np $NUM ${1:-none}\n')
    text = (
        "source env.sh\nbash run.sh one\n./run.sh\nsbatch --nodes=2 run.sh two\n. /etc/profile\nbash gone.sh"
    )
    shell = Shell(tmp_path, root=tmp_path)
    shell.run(text)
    found = [(started.words[1:], started.line) for started in shell.started if started.words[0] == "p"]
    assert found == [(("3", "one"), 2), (("3", "none"), 3), (("3", "two"), 4)]
    assert shell.unread == ["/etc/profile", "gone.sh"]


def test_what_slurm_sets_is_known_from_the_head_of_a_job_script() -> None:
    head = "#!/bin/bash\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node 4\n#SBATCH --gres=gpu:a100:4\n"
    assert words(f"{head}p $SLURM_NNODES $SLURM_NTASKS $SLURM_GPUS_ON_NODE") == ("p", "2", "8", "4")
    inner = "sbatch <<'EOF'\n#!/bin/bash\n#SBATCH --gpus=2\np $SLURM_GPUS_ON_NODE\nEOF\n"
    assert words(inner) == ("p", "2")
    assert words('sbatch --wrap="p a"') == ("p", "a")
    assert words("bash -c 'p $0 $1' x y z") == ("p", "?", "y")


@pytest.mark.parametrize(
    "text",
    [
        "a() { a; }; a",
        "for i in 1 2 3; do " * 9 + "p" + "; done" * 9,
        "$(" * 500,
        "if",
        "'",
        "p 'a",
        "{" * 5000,
    ],
)
def test_no_text_keeps_it_busy_or_ends_it(text: str) -> None:
    assert len(read(text)) <= 4096


def test_a_script_that_calls_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("p\n. a.sh\nbash a.sh\n")
    shell = Shell(tmp_path, root=tmp_path)
    shell.run_file(tmp_path / "a.sh")
    assert 1 < len(shell.started) <= 4096
