"""Signs somebody in with Authlib. The test lends its browser: this writes
{"open": URL, "code": ...} and reads {"at": URL}, where the browser ended up.

first line of stdin: {flow, issuer, client, secret, redirect, scope, resource}
last line of stdout: what came of it, or {"error", "error_description"}.
"""
import json
import os
import sys
import time

os.environ['AUTHLIB_INSECURE_TRANSPORT'] = '1'  # the tests' issuer is on loopback

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet


def write(answer):
    print(json.dumps(answer), flush=True)


def browse(url, code=''):
    write({'open': url, 'code': code})
    return json.loads(sys.stdin.readline())['at']


ask = json.loads(sys.stdin.readline())
server = requests.get(ask['issuer'] + '/.well-known/openid-configuration').json()


def verified(raw, nonce=None):
    keys = KeySet.import_key_set(requests.get(server['jwks_uri']).json())
    token = jwt.decode(raw, keys, algorithms=server['id_token_signing_alg_values_supported'])
    checks = {'iss': {'essential': True, 'value': ask['issuer']}, 'aud': {'essential': True, 'value': ask['client']}, 'exp': {'essential': True}}
    if nonce:
        checks['nonce'] = {'essential': True, 'value': nonce}
    jwt.JWTClaimsRegistry(**checks).validate(token.claims)
    return token.claims


def told(token, nonce=None):
    return {
        'access_token': token['access_token'], 'token_type': token['token_type'], 'refresh_token': 'refresh_token' in token,
        'claims': verified(token['id_token'], nonce),
    }


def code(session):
    verifier, nonce = generate_token(64), generate_token(32)
    url, state = session.create_authorization_url(server['authorization_endpoint'], code_verifier=verifier, nonce=nonce)
    token = session.fetch_token(server['token_endpoint'], authorization_response=browse(url), state=state, code_verifier=verifier)
    answer = told(token, nonce)
    answer['userinfo'] = session.get(server['userinfo_endpoint']).json()
    answer['refreshed'] = session.refresh_token(server['token_endpoint'], refresh_token=token['refresh_token'])['access_token']
    session.revoke_token(server['revocation_endpoint'], token=session.token['refresh_token'], token_type_hint='refresh_token')
    return answer


def device(session):
    started = requests.post(server['device_authorization_endpoint'], data={'client_id': ask['client'], 'scope': ask['scope'], 'resource': ask['resource']}).json()
    browse(started['verification_uri_complete'], started['user_code'])
    while True:
        try:
            token = session.fetch_token(
                server['token_endpoint'], grant_type='urn:ietf:params:oauth:grant-type:device_code', device_code=started['device_code'])
            return told(token)
        except OAuthError as refused:
            if refused.error not in ('authorization_pending', 'slow_down'):
                raise
            time.sleep(started['interval'])


session = OAuth2Session(
    ask['client'], ask.get('secret') or None, redirect_uri=ask['redirect'], scope=ask['scope'], code_challenge_method='S256',
    token_endpoint_auth_method='client_secret_basic' if ask.get('secret') else 'none')
try:
    write({'code': code, 'device': device}[ask['flow']](session))
except OAuthError as refused:
    write({'error': refused.error, 'error_description': refused.description})
