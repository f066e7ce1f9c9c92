"""Pages of the accounts app outside a workspace: log-in, profile, invitations."""

from allauth.account import views as account
from allauth.socialaccount import views as social
from django.urls import path, re_path

from apps.accounts.views import invitations, people, sso

urlpatterns = [
    path("", people.root, name="root"),
    path("language", people.set_language, name="set_language"),
    path("profile", people.profile, name="profile"),
    path("profile/password", account.password_change, name="account_change_password"),
    path("profile/password/set", account.password_set, name="account_set_password"),
    path("profile/theme", people.set_theme, name="set_theme"),
    path("profile/sessions", people.sessions, name="usersessions_list"),
    path("profile/sessions/end", people.end_other_sessions, name="end_other_sessions"),
    path("profile/sessions/<int:pk>/end", people.end_session, name="end_session"),
    path("workspaces", people.workspaces, name="workspaces"),
    path("people", people.people, name="people"),
    path("people/<int:pk>/active", people.set_active, name="set_active"),
    path("invitations/<str:token>", invitations.accept, name="invitation"),
    path("login", account.login, name="account_login"),
    path("logout", account.logout, name="account_logout"),
    path("login/inactive", account.account_inactive, name="account_inactive"),
    path("login/again", account.reauthenticate, name="account_reauthenticate"),
    path("signup", account.signup, name="account_signup"),  # says that accounts come by invitation
    path("password/reset", account.password_reset, name="account_reset_password"),
    path("password/reset/sent", account.password_reset_done, name="account_reset_password_done"),
    path("password/reset/done", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("sso/error", social.login_error, name="socialaccount_login_error"),
    path("sso/cancelled", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("sso/signup", social.signup, name="socialaccount_signup"),
    path("sso/<str:provider_id>", sso.begin, name="openid_connect_login"),
    path("sso/<str:provider_id>/callback", sso.come_back, name="openid_connect_callback"),
]
