from . import convergence as convergence
from . import probes as probes
from . import spectrum as spectrum
from .probes import few_shot_probe as few_shot_probe
from .spectrum import effective_rank as effective_rank
from .spectrum import numerical_rank as numerical_rank
