"""The public names of telly.code: the only list of them (see `telly.lazy`)."""

from telly.using.classify import classify as classify
from telly.using.clones import find_clones as find_clones
from telly.using.search import build_index as build_index
from telly.using.search import open_search as open_search
from telly.using.search import search as search
from telly.using.writing import complete as complete
from telly.using.writing import generate as generate
from telly.using.writing import summarize as summarize
