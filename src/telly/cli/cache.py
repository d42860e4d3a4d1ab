"""`telly cache`: list, verify and remove the activation caches, and the embeddings kept beside them."""

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
    """List the activation caches, and the embeddings of teachers and of mined negatives, with size and last change."""
    from telly.cli.console import print_caches, print_embeddings
    from telly.freezing.inventory import find_caches
    from telly.inference.embedding_cache import find_embeddings

    root = _root(cache_dir)
    print_caches(root, find_caches(root))
    embeddings = find_embeddings(root)
    if embeddings:
        print_embeddings(embeddings)


@app.command(
    cls=SectionedCommand,
    epilog="Example:\n\n  telly cache verify\n\nReads every byte of every cache; exits with code 2 if one is damaged.",
)
def verify(
    names: list[str] = typer.Argument(None, help="Activation caches to verify. [default: all]"),
    cache_dir: Path | None = FOLDER,
) -> None:
    """Compare every shard with its checksum; exit with code 2 if one is damaged. The next run repairs it."""
    from telly.freezing.inventory import find_caches, select, verify_cache

    damaged, root = False, _root(cache_dir)
    for entry in select(find_caches(root), names or [], root):
        shards = verify_cache(entry.folder)
        damaged |= bool(shards)
        text = f"damaged: shards {', '.join(map(str, shards))}; the next run recomputes them" if shards else "intact"
        typer.echo(f"{entry.folder.name}: {text}")
    if damaged:
        raise typer.Exit(2)


@app.command(cls=SectionedCommand)
def rm(
    names: list[str] = typer.Argument(None, help="Activation caches or embeddings to remove."),
    everything: bool = typer.Option(False, "--all", help="Remove all activation caches and embeddings."),
    cache_dir: Path | None = FOLDER,
) -> None:
    """Remove activation caches, except those being built, and embeddings."""
    from telly.errors import CacheError
    from telly.freezing.inventory import KeptEntry, find_caches, remove_cache, select
    from telly.inference.embedding_cache import find_embeddings

    if not names and not everything:
        raise CacheError("nothing to remove: give names (see `telly cache ls`) or --all")
    root = _root(cache_dir)
    kept: list[KeptEntry] = [*find_caches(root), *find_embeddings(root)]
    for entry in select(kept, [] if everything else names, root):
        freed = remove_cache(entry.folder)
        typer.echo(f"{entry.folder.name}: removed, {freed / 1e6:.1f} MB freed")


def _root(cache_dir: Path | None) -> Path:
    from telly.settings.resolve import default_cache_dir

    return cache_dir or default_cache_dir()
