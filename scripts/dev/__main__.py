"""The development stack: `make dev` and what belongs to it. Python 3.9 or newer, nothing else."""

from __future__ import annotations

import argparse
import sys

import engine
import native
import program
import settings
from compose import Compose
from supervisor import Supervisor
from trouble import Trouble


def main() -> int:
    """Ends with 1 where something is in the way, which is then said in a sentence."""
    parser = argparse.ArgumentParser(prog="scripts/dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start everything"),
        ("down", "end everything"),
        ("logs", "follow the logs"),
        ("clean", "delete databases and logs"),
        ("supervise", "be the supervisor (started by up)"),
    ):
        commands.add_parser(name, help=text)
    migrate = commands.add_parser("migrate", help="run qoe migrate on the stack's database")
    migrate.add_argument("args", nargs=argparse.REMAINDER)
    create = commands.add_parser("migrate-create", help="make the files of the next migration")
    create.add_argument("name", nargs="?", default="")
    args = parser.parse_args()
    try:
        return act(args)
    except Trouble as trouble:
        print(f"dev: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def act(args: argparse.Namespace) -> int:
    """Does one of them."""
    if args.command == "migrate-create":
        program.create_migration(args.name)
        return 0
    ours = settings.load()
    if args.command == "supervise":
        return Supervisor(ours).run()
    docker, why = engine.choose()
    if args.command == "up":
        print(f"{'with Docker' if docker else 'natively'}: {why}")
    if args.command in ("down", "clean"):
        # Whichever way it was started.
        getattr(native, args.command)(ours)
        if docker:
            getattr(Compose(ours), args.command)()
    elif args.command == "migrate":
        (Compose(ours).migrate if docker else lambda args: native.migrate(ours, args))(args.args)
    elif docker:
        getattr(Compose(ours), args.command)()
    else:
        getattr(native, args.command)(ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
