from . import datasets as datasets
from . import encoders as encoders
from . import injectivity as injectivity
from . import pushforward as pushforward
from . import regions as regions
from . import training as training
from . import views as views
