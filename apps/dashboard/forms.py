"""Forms of the dashboard."""

from django import forms
from django.utils.translation import gettext_lazy as _


class PriorityForm(forms.Form):
    """Three words are enough for people; programs may send any number."""

    priority = forms.TypedChoiceField(
        label=_("Place in the queue"),
        coerce=int,
        choices=[(10, _("Before others")), (0, _("In turn")), (-10, _("After others"))],
    )
