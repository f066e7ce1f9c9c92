"""The words of rules: what each kind does, and the names and meanings of its options."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

KINDS: dict[str, tuple[str | Promise, str]] = {
    "static": (_("Fires where a bucket reaches a number, or falls to it."), "gauge"),
    "ratio": (_("Fires where a bucket is so many times the mean of the hours before."), "scale"),
    "surge": (
        _("Fires where a count is too high for this time of day and week, by a test that knows past outbreaks."),
        "trending-up",
    ),
    "score": (_("Fires where a moment is rare among the strongest moments of the series itself."), "activity"),
    "rise": (_("Fires where counts stay above what is expected, each too little to be a surge."), "chart-line"),
    "share": (
        _("Fires where the negative share is above what its own history lets expect, however many were written."),
        "chart-pie",
    ),
    "keyword": (_("Fires as soon as an article with one of your words arrives."), "search"),
    "new_story": (_("Fires as soon as a first-rate source tells a story that none of them told before."), "news"),
    "no_data": (_("Fires where nothing arrives for a while, from all sources or from one."), "wifi-off"),
}
"""Kind of rule -> what it does, and its icon."""

LABELS: dict[str, str | Promise] = {
    "threshold": _("Number"),
    "direction": _("Fires"),
    "least_count": _("Least count"),
    "least_buckets": _("Buckets of the least count"),
    "ratio": _("Times the mean"),
    "mean_hours": _("Hours of the mean"),
    "band": _("Share of ordinary values in the band"),
    "history_days": _("Days that are compared with"),
    "left_out_days": _("Newest days left out"),
    "left_out_buckets": _("Newest buckets left out"),
    "neighbour_minutes": _("Minutes around the time of day"),
    "reweight_above": _("Outbreaks from deviation"),
    "thin_days": _("History is thin below days"),
    "alpha": _("Probability"),
    "thin_method": _("Method while history is thin"),
    "false_discovery_rate": _("False alerts among series"),
    "rise_ratio": _("Rise"),
    "run_length": _("Buckets to a false alert"),
    "least_total": _("Least articles in all"),
    "sudden_minutes": _("Minutes of the sudden part"),
    "middle_hours": _("Hours of the middle part"),
    "sustained_hours": _("Hours of the lasting part"),
    "block_hours": _("Hours of a block"),
    "blocks_kept": _("Blocks remembered"),
    "blocks_before": _("Blocks before the first score"),
    "days_kept": _("Days remembered"),
    "alert_ratio": _("Times the strongest moment"),
    "quiet_hours": _("Hours of quiet after an alert"),
}

MEANINGS: dict[str, str | Promise] = {
    "threshold": _("Number that is compared with the newest bucket"),
    "direction": _("Alert at or above the number, or at or below it"),
    "least_count": _("No alert below so many in the newest buckets"),
    "least_buckets": _("How many of the newest buckets are summed for that"),
    "ratio": _("So many times the mean"),
    "mean_hours": _("Hours before the newest bucket that make the mean"),
    "band": _("Share of ordinary counts between the low and the high line"),
    "history_days": _("Days that are compared with"),
    "left_out_days": _("Newest days that are not compared with"),
    "left_out_buckets": _("Newest buckets that are not compared with"),
    "neighbour_minutes": _("Buckets so long before and after the same time of day are compared with too"),
    "reweight_above": _("Past counts with a larger Anscombe residual weigh less"),
    "thin_days": _("With fewer days of history the newest buckets are the baseline"),
    "alpha": _("Alert where something as high is less likely than this"),
    "thin_method": _("Early Aberration Reporting System: c1, c2 or c3"),
    "false_discovery_rate": _("Of the series that alert at once, at most this share by chance; 1 leaves it open"),
    "rise_ratio": _("The rise that is found soonest: so many times what is expected"),
    "run_length": _("Without a rise, the mean number of buckets to a false alert (ARL0)"),
    "least_total": _("No alert where the newest bucket holds fewer in all"),
    "sudden_minutes": _("The short stretch whose sum is compared"),
    "middle_hours": _("The middle stretch whose sum is compared"),
    "sustained_hours": _("The long stretch whose sum is compared"),
    "block_hours": _("The strongest moment of each such block is remembered"),
    "blocks_kept": _("About so many blocks are remembered; older ones fade"),
    "blocks_before": _("No score before so many blocks were seen"),
    "days_kept": _("About so many days make the expected count of a time of day"),
    "alert_ratio": _("Alert at so many times what the strongest moments of blocks usually reach"),
    "quiet_hours": _("After an alert no further one for so long"),
}

VALUES: dict[str, str | Promise] = {
    "above": _("at or above the number"),
    "below": _("at or below the number"),
    "c1": "C1",
    "c2": "C2",
    "c3": "C3",
}

FIRST: dict[str, tuple[str, ...]] = {
    "static": ("threshold", "direction", "least_count"),
    "ratio": ("ratio", "mean_hours", "least_count"),
    "surge": ("alpha", "least_count", "false_discovery_rate"),
    "score": ("alert_ratio", "quiet_hours"),
    "rise": ("rise_ratio", "run_length", "least_count"),
    "share": ("alpha", "least_total", "least_count", "false_discovery_rate"),
}
"""Options that a form shows at once; the others stand below."""

METHODS: dict[str, str | Promise] = {
    "seasonal": _("Same time of earlier days"),
    "seasonal_cusum": _("Same time of earlier days, summed"),
    "ears_c1": _("The buckets before (thin history)"),
    "ears_c2": _("The buckets before (thin history)"),
    "ears_c3": _("The buckets before (thin history)"),
    "ears_c2_cusum": _("The buckets before (thin history), summed"),
    "beta_binomial": _("Its own earlier share"),
    "static": _("Fixed number"),
    "ratio": _("Mean of the hours before"),
    "score": _("Surge score"),
    "keyword": _("Words"),
    "new_story": _("New story from a first-rate source"),
    "no_data": _("No articles"),
    "missing": _("Nobody looked"),
    "no_baseline": _("Too little history"),
}
"""How a verdict came about."""
