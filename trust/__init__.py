"""Publishing our trust list, importing others', keeping the last good one."""
