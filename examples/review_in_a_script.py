"""Rank the masks of a trained study, and decide about them by a rule instead of by eye.

    python examples/review_in_a_script.py my_study 10

Those with a flag are rejected, and the others down to rank 10 accepted: the next round of
fine-tuning trains on these.
"""

import sys

import napari_singlestrip as ss

study, n_best = ss.Study.open(sys.argv[1]), int(sys.argv[2])

for _ in ss.run(study, stages=["rank"]):
    pass
flagged = [row.name for row in ss.review(study).rows if row.score.flag and row.is_open]
study.decisions.decide_all(flagged, "rejected")
study.decisions.decide_all(ss.review(study).undecided_to(n_best), "accepted")
for row in ss.review(study).rows:
    print(row.score.rank, row.name, row.state, row.score.flag)
