"""Pages of the datasets app."""

from django.urls import path

from apps.datasets.views import datasets, examples, imports, outputs

app_name = "datasets"

urlpatterns = [
    path("", datasets.index, name="list"),
    path("new", datasets.new, name="new"),
    path("<int:pk>", examples.browse, name="detail"),
    path("<int:pk>/settings", datasets.settings, name="settings"),
    path("<int:pk>/archive", datasets.archive, name="archive"),
    path("<int:pk>/unarchive", datasets.unarchive, name="unarchive"),
    path("<int:pk>/delete", datasets.delete, name="delete"),
    path("<int:pk>/examples/new", examples.new, name="example_new"),
    path("<int:pk>/examples/bulk", examples.bulk, name="bulk"),
    path("<int:pk>/examples/<int:example>", examples.detail, name="example"),
    path("<int:pk>/examples/<int:example>/delete", examples.delete, name="example_delete"),
    path("<int:pk>/examples/<int:example>/restore", examples.restore, name="example_restore"),
    path("<int:pk>/imports", imports.index, name="imports"),
    path("<int:pk>/imports/new", imports.new, name="import_new"),
    path("<int:pk>/imports/<int:number>", imports.detail, name="import"),
    path("<int:pk>/imports/<int:number>/columns", imports.columns, name="import_columns"),
    path("<int:pk>/imports/<int:number>/start", imports.start, name="import_start"),
    path("<int:pk>/imports/<int:number>/again", imports.again, name="import_again"),
    path("<int:pk>/imports/<int:number>/errors.csv", imports.errors_csv, name="import_errors"),
    path("<int:pk>/profile", datasets.profile, name="profile"),
    path("<int:pk>/splits", datasets.splits, name="splits"),
    path("<int:pk>/versions", outputs.versions, name="versions"),
    path("<int:pk>/versions/<int:number>", outputs.version, name="version"),
    path("<int:pk>/versions/<int:number>/delete", outputs.delete_version, name="version_delete"),
    path("<int:pk>/exports", outputs.exports, name="exports"),
    path("<int:pk>/exports/<int:number>/file", outputs.download, name="export_file"),
]
