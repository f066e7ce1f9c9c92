"""Pages of the registry app."""

from django.urls import path

from apps.registry import views

app_name = "registry"

urlpatterns = [
    path("", views.index, name="list"),
    path("families/<int:pk>", views.family, name="family"),
    path("families/<int:pk>/aliases/<slug:alias>/rollback", views.rollback, name="rollback"),
    path("families/<int:pk>/aliases/<slug:alias>/remove", views.remove, name="remove"),
    path("versions/<int:pk>", views.detail, name="detail"),
    path("versions/<int:pk>/describe", views.describe, name="describe"),
    path("versions/<int:pk>/delete", views.delete, name="delete"),
    path("versions/<int:pk>/card", views.card, name="card"),
    path("versions/<int:pk>/export", views.export, name="export"),
    path("versions/<int:pk>/verify", views.verify, name="verify"),
    path("exports/<int:pk>/file", views.download, name="download"),
    path("compare", views.compare, name="compare"),
    path("import", views.new_import, name="new_import"),
    path("imports/<int:pk>", views.import_detail, name="import"),
    path("connect", views.connect, name="connect"),
    path("base-models", views.base_models, name="base_models"),
    path("base-models/<int:pk>/delete", views.delete_base_model, name="delete_base_model"),
]
