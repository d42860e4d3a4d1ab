"""`telly cache`: list, verify and remove the activation caches on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from telly.cli.groups import CommandList, SectionedCommand

app = typer.Typer(
    cls=CommandList,
    help="List, verify and remove activation caches.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
FOLDER = typer.Option(
    None, "--cache-dir", metavar="DIR", help="Folder of activation caches. [default: in the user's cache folder]"
)


@app.command("ls", cls=SectionedCommand)
def ls(cache_dir: Path | None = FOLDER) -> None:
    """List the activation caches: name, layer, sequences, size, completeness, last change."""
    from telly.cli.console import print_caches
    from telly.freezing.inventory import find_caches

    root = _root(cache_dir)
    print_caches(root, find_caches(root))


@app.command(
    cls=SectionedCommand,
    epilog="Example:\n\n  telly cache verify\n\nReads every byte of every cache; exits with code 2 if one is damaged.",
)
def verify(
    names: list[str] = typer.Argument(None, help="Activation caches to verify. [default: all]"),
    cache_dir: Path | None = FOLDER,
) -> None:
    """Compare every shard with its checksum; exit with code 2 if one is damaged. The next run repairs it."""
    from telly.freezing.inventory import find_caches, verify_cache

    damaged = False
    for entry in find_caches(_root(cache_dir), names or []):
        shards = verify_cache(entry.folder)
        damaged |= bool(shards)
        text = f"damaged: shards {', '.join(map(str, shards))}; the next run recomputes them" if shards else "intact"
        typer.echo(f"{entry.folder.name}: {text}")
    if damaged:
        raise typer.Exit(2)


@app.command(cls=SectionedCommand)
def rm(
    names: list[str] = typer.Argument(None, help="Activation caches to remove."),
    everything: bool = typer.Option(False, "--all", help="Remove all activation caches."),
    cache_dir: Path | None = FOLDER,
) -> None:
    """Remove activation caches, except those being built."""
    from telly.errors import CacheError
    from telly.freezing.inventory import find_caches, remove_cache

    if not names and not everything:
        raise CacheError("nothing to remove: name activation caches (see `telly cache ls`) or give --all")
    for entry in find_caches(_root(cache_dir), [] if everything else names):
        freed = remove_cache(entry.folder)
        typer.echo(f"{entry.folder.name}: removed, {freed / 1e6:.1f} MB freed")


def _root(cache_dir: Path | None) -> Path:
    from telly.settings.resolve import default_cache_dir

    return cache_dir or default_cache_dir()
