"""Words of training for templates."""

from django import template

from apps.training import charts

register = template.Library()
register.filter("curve_name", charts.curve_name)
