import pytest

from instune.evaluation.run_code import pass_at_1, passes, programs


@pytest.mark.parametrize(
    "program",
    [
        "",
        "def add(a, b):\n    return a + b\nassert add(2, 3) == 5",
        "print('x' * 10_000_000)",
        "import math\nassert math.isclose(math.sqrt(2) ** 2, 2)",
    ],
)
def test_a_program_that_comes_to_its_end_passes(program):
    assert passes(program)


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 == 2",
        "def broken(:",
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "x = bytearray(8 << 30)",
        "open('big', 'wb').write(bytes(2 << 20))",
        "input()",
        "\ud800",
    ],
)
def test_a_program_that_fails_or_ends_itself_or_takes_too_much_does_not(program):
    assert not passes(program)


def test_a_program_that_never_ends_is_stopped_with_what_it_started(tmp_path):
    mark = tmp_path / "late"
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(4); open({str(mark)!r}, \"w\")'])\n"
        "while True: pass"
    )
    assert not passes(program)
    assert not passes("import time\ntime.sleep(2)\nassert False")  # long enough for what was started, had it lived
    assert not mark.exists()


def test_a_program_sees_no_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    assert passes("import os\nassert 'SECRET' not in os.environ\nassert os.listdir('.') == []")


def test_pass_at_1_is_the_share_of_answers_that_pass():
    doc = {"prompt": "def add(a, b):\n", "test": "def check(add):\n    assert add(2, 2) == 4"}
    (written,) = programs([["    return a + b", "    return a * b + 0", "    return 5", "    retur"]], [doc])
    assert pass_at_1([f"{doc['test']}\ncheck(add)"], [written]) == 0.5
