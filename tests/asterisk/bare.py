"""A small Asterisk configuration without Ringfence: for trying the private Asterisk and the SIPp scenarios themselves."""

from __future__ import annotations

from pathlib import Path

from ari_app.private.asterisk import AriDoor, PrivateAsterisk
from ari_app.private.ports import free_ports
from ari_app.private.root import Root

CARRIER, MOBILE, PHONE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
PHONE_SECRET = "kept-in-a-file-only"

_MODULES = """
res_pjproject res_sorcery_config res_sorcery_memory res_sorcery_astdb res_timing_timerfd res_rtp_asterisk res_http_websocket res_websocket_client
res_pjsip res_pjsip_session res_pjsip_pubsub res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_diversion res_pjsip_endpoint_identifier_ip
res_pjsip_endpoint_identifier_user res_pjsip_registrar res_pjsip_nat res_pjsip_authenticator_digest chan_pjsip res_stasis res_ari res_ari_model
res_ari_asterisk bridge_simple bridge_native_rtp codec_ulaw codec_alaw format_pcm pbx_config app_dial app_stack app_verbose func_logic func_channel
func_callerid func_cdr func_strings res_cdrel_custom cdr_custom
"""

_FILES = {
    "asterisk.conf": """[directories]
astetcdir => {home}/etc
astmoddir => {root.modules_dir}
astvarlibdir => {root.data_dir}
astdatadir => {root.data_dir}
astdbdir => {home}/db
astkeydir => {home}/keys
astagidir => {home}/agi
astspooldir => {home}/spool
astrundir => {home}/run
astlogdir => {home}/log
[options]
systemname = bare
""",
    "ari.conf": "[general]\nenabled=yes\n[bare]\ntype=user\npassword=bare-secret\n",
    "http.conf": "[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={http}\n",
    "logger.conf": "[general]\n[logfiles]\nmessages = notice,warning,error\n",
    "cdr.conf": "[general]\nenable=yes\nunanswered=yes\ncongestion=yes\n",
    "cdr_custom.conf": "[ledger.json]\nformat = json\nfields = linkedid,dst,disposition\n",
    "stasis.conf": "[general]\n",
    "rtp.conf": "[general]\nrtpstart=32100\nrtpend=32700\n",
    "pjsip.conf": """[global]
type=global
endpoint_identifier_order=ip,username
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{sip}
[tcp]
type=transport
protocol=tcp
bind=127.0.0.1:{sip}
[carrier]
type=endpoint
context=from-carrier
trust_id_inbound=yes
disallow=all
allow=alaw,ulaw
direct_media=no
[carrier]
type=identify
endpoint=carrier
match=127.0.0.2
[mobile]
type=endpoint
aors=mobile
disallow=all
allow=alaw,ulaw
direct_media=no
[mobile]
type=aor
contact=sip:127.0.0.3:{mobile}
[desk]
type=endpoint
context=from-phone
auth=desk
aors=desk
disallow=all
allow=alaw,ulaw
direct_media=no
rewrite_contact=yes
[desk]
type=aor
max_contacts=1
qualify_frequency=1
[desk]
type=auth
username=desk
password={phone_secret}
""",
    "extensions.conf": """[from-carrier]
exten => _+44770090.,1,Dial(PJSIP/${{EXTEN}}@mobile,2)
 same => n,Hangup(${{IF($["${{DIALSTATUS}}"="NOANSWER"]?19:${{HANGUPCAUSE}})}})
exten => _+44117.,1,Dial(PJSIP/desk,2)
 same => n,Hangup(${{IF($["${{DIALSTATUS}}"="NOANSWER"]?19:${{HANGUPCAUSE}})}})
exten => _+44200.,1,Hangup(1)
exten => _+44204.,1,Log(NOTICE,num=${{CALLERID(num)}} name=${{CALLERID(name)}} pres=${{CALLERID(pres)}} from=${{REDIRECTING(from-num)}})
 same => n,Hangup(21)
[from-phone]
exten => _+44770090.,1,Dial(PJSIP/${{EXTEN}}@mobile,2)
""",
}


class Bare:
    """The configuration in a folder, with the ports it uses."""

    def __init__(self, root: Root, home: Path) -> None:
        self.home = home
        self.sip, self.http, self.mobile = free_ports(3)
        values = {"root": root, "home": home, "sip": self.sip, "http": self.http, "mobile": self.mobile, "phone_secret": PHONE_SECRET}
        etc = home / "etc"
        etc.mkdir(parents=True)
        for name, text in _FILES.items():
            (etc / name).write_text(text.format(**values), encoding="utf-8")
        modules = "".join(f"load = {module}.so\n" for module in _MODULES.split())
        (etc / "modules.conf").write_text(f"[modules]\nautoload = no\n{modules}", encoding="utf-8")
        self.asterisk = PrivateAsterisk(root, etc, ari=AriDoor("127.0.0.1", self.http, "bare", "bare-secret"))

    @property
    def ledger(self) -> Path:
        """Asterisk's call records."""
        return self.home / "log" / "cdr-custom" / "ledger.json"

    @property
    def log(self) -> str:
        """Asterisk's own log."""
        return (self.home / "log" / "messages").read_text(encoding="utf-8")
