# kubectl finds the cluster without an argument on a server.
[ -r /etc/rancher/k3s/k3s.yaml ] && export KUBECONFIG=/etc/rancher/k3s/k3s.yaml
