"""Django, for uvicorn (`django_app:asgi`) and gunicorn (`django_app:wsgi`)."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

import calls

settings.configure(
    SECRET_KEY="for tests",
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
client = None


async def get(target):
    import httpx

    global client
    if client is None:
        client = httpx.AsyncClient(timeout=60)
    return (await client.get(calls.BACKEND + target)).status_code


async def with_await(_, identity, name):
    await getattr(calls, name)(get, f"/{identity}")
    return JsonResponse({})


def without_await(_, identity, name):
    getattr(calls, name)(f"/{identity}")
    return JsonResponse({})


async def mixed(_, identity):
    from asgiref.sync import sync_to_async

    await sync_to_async(calls.blocking)(f"/{identity}/1")
    await sync_to_async(calls.blocking, thread_sensitive=False)(f"/{identity}/2")
    return JsonResponse({})


urlpatterns = [
    path("<str:identity>/mixed", mixed),
    path("<str:identity>/sync/<str:name>", without_await),
    path("<str:identity>/<str:name>", with_await),
]
django.setup()
asgi = get_asgi_application()
wsgi = get_wsgi_application()
