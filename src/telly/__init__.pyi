"""The public names of telly: the only list of them (see `telly.lazy`)."""

from telly import code as code
from telly import errors as errors
from telly.advice.advise import advise as advise
from telly.advice.auto import tune as tune
from telly.api.compare import compare as compare
from telly.api.export import export as export
from telly.api.probe import probe as probe
from telly.api.report import report as report
from telly.api.score import score as score
from telly.api.study import study as study
from telly.data.sequences import SequenceTable as SequenceTable
from telly.errors import TellyError as TellyError
from telly.freezing.activation_cache import ActivationCache as ActivationCache
from telly.freezing.build import CacheRequest as CacheRequest
from telly.freezing.build import build_cache as build_cache
from telly.freezing.methods import apply_method as apply_method
from telly.freezing.plan import FreezePlan as FreezePlan
from telly.freezing.plan import freeze as freeze
from telly.freezing.plan import make_plan as make_plan
from telly.freezing.plan import unfreeze as unfreeze
from telly.freezing.source import RowSource as RowSource
from telly.freezing.split import SplitModel as SplitModel
from telly.freezing.states import StateDtype as StateDtype
from telly.freezing.variants import Lora as Lora
from telly.freezing.variants import Method as Method
from telly.inference.tuned_model import TunedModel as TunedModel
from telly.inference.tuned_model import load as load
from telly.models.load import load_model as load_model
from telly.models.load import load_tokenizer as load_tokenizer
from telly.settings.config import ResolvedConfig as ResolvedConfig
from telly.settings.config import TuneConfig as TuneConfig

__version__: str
