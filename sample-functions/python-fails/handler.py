"""Fails on purpose, in every way a function can fail: the event's `how` chooses.

Some ways concern loading the module. They cannot be chosen by an event, so they are chosen by the function's
environment variable HOW, which is read while the module is loaded.
"""

import os


class CustomError(Exception):
    """An error type of the function's own."""


def import_what_is_missing():
    import a_module_that_is_not_here  # noqa: F401


def fail_while_loading(how):
    if how == "import":
        import_what_is_missing()
    if how == "init-raise":
        raise CustomError("failed while loading")
    if how == "init-exit":
        os._exit(5)
    if how == "init-slow":
        sleep_for_ever()


def sleep_for_ever():
    import time

    while True:
        time.sleep(60)


def exit_with(code):
    import sys

    sys.exit(code)


def segfault():
    import ctypes

    ctypes.string_at(0)


def be_killed():
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def eat_memory():
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1) * 16 * 1024 * 1024))


def fill_tmp():
    step, size = 64 * 1024 * 1024, 0
    with open("/tmp/full", "wb") as file:
        while True:  # claims the space instead of writing it: the same error, in milliseconds
            os.posix_fallocate(file.fileno(), size, step)
            size += step


def write_package():
    with open(os.path.join(os.environ["LAMBDA_TASK_ROOT"], "written"), "w") as file:
        file.write("x")


def fail(how):
    if how == "raise":
        raise CustomError("failed on purpose")
    if how == "marshal":
        return {1, 2, 3}
    if how == "import":
        import_what_is_missing()
    if how == "big":
        return "x" * (6 * 1024 * 1024 + 101)
    if how == "exit0":
        exit_with(0)
    if how == "exit3":
        exit_with(3)
    if how == "segfault":
        segfault()
    if how == "killed":
        be_killed()
    if how == "oom":
        eat_memory()
    if how == "timeout":
        sleep_for_ever()
    if how == "disk":
        fill_tmp()
    if how == "read-only":
        write_package()
    return {"survived": how}


fail_while_loading(os.environ.get("HOW"))


def handler(event, context):
    return fail(event.get("how"))
