"""Pages of the evaluation app."""

from django.urls import path

from apps.evaluation import views

app_name = "evaluation"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("compare", views.compare, name="compare"),
    path("compare-versions", views.compare_versions, name="compare_versions"),
    path("comparisons/<int:pk>", views.comparison, name="comparison"),
    path("<int:pk>", views.detail, name="detail"),
    path("<int:pk>/results", views.results, name="results"),
    path("<int:pk>/results.<slug:form>", views.download, name="download"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
