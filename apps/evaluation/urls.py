"""Pages of the evaluation app."""

from django.urls import path

from apps.evaluation import views, views_remembering, views_suites

app_name = "evaluation"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("compare", views.compare, name="compare"),
    path("pair", views.pair, name="pair"),
    path("compare-versions", views.compare_versions, name="compare_versions"),
    path("comparisons/<int:pk>", views.comparison, name="comparison"),
    path("suites", views_suites.index, name="suites"),
    path("suites/new", views_suites.new, name="new_suite"),
    path("suites/<int:pk>", views_suites.detail, name="suite"),
    path("suites/<int:pk>/checks/<int:position>/remove", views_suites.remove_check, name="remove_check"),
    path("suites/<int:pk>/revise", views_suites.revise, name="revise_suite"),
    path("suites/<int:pk>/delete", views_suites.delete, name="delete_suite"),
    path("suites/<int:pk>/run", views_suites.run, name="run_suite"),
    path("versions/<int:version_pk>/gate", views_suites.version_gate, name="version_gate"),
    path("versions/<int:version_pk>/tasks", views_remembering.version_tasks, name="version_tasks"),
    path("versions/<int:version_pk>/tasks/measure", views_remembering.measure, name="measure_tasks"),
    path("versions/<int:version_pk>/suites/run", views_suites.run_chosen, name="run_chosen"),
    path("versions/<int:version_pk>/approval", views_suites.request_approval, name="request_approval"),
    path("approvals/<int:pk>", views_suites.decide, name="decide"),
    path("families/<int:family_pk>/gate", views_suites.family_gate, name="family_gate"),
    path("families/<int:family_pk>/gate/set", views_suites.set_gate, name="set_gate"),
    path("families/<int:family_pk>/aliases", views_suites.move, name="move"),
    path("<int:pk>", views.detail, name="detail"),
    path("<int:pk>/results", views.results, name="results"),
    path("<int:pk>/results.<slug:form>", views.download, name="download"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
