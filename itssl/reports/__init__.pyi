from .figures import families as families
from .figures import gap_figure as gap_figure
from .page import render_page as render_page
from .page import write_json as write_json
from .page import write_page as write_page
from .tables import claim_text as claim_text
from .tables import failure_text as failure_text
from .tables import ledger_table as ledger_table
