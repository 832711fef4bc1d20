"""The audit snapshot: Parquet files that say what a run did to each object, and why.

`writer` writes them part by part while the run goes along, `reader` reads them back and `summary`
puts them into figures. Reading needs pandas; writing does not load it; where snapshots are
(`targets`, `layout`) needs neither that nor pyarrow, so nothing is imported here.
"""
