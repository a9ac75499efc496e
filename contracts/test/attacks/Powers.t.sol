// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Attack} from "./Attack.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";

/// @notice Threat 21, P1.2: nobody owns the market. Every call that changes a job or a seat, tried by every role in every
/// state that allows it to anybody.
contract PowersTest is Attack {
    uint8 private constant R = 1; // requester
    uint8 private constant P = 2; // provider of lane 0
    uint8 private constant HOT = 4; // hot key at place 0
    uint8 private constant COLD = 8; // its cold key
    uint8 private constant STRANGER = 16;
    uint8 private constant DEPLOYER = 32;
    uint8 private constant ALL = 63;

    bytes32 private _id;
    uint32 private _theSeat;
    uint256 private _tried;

    function test_threat21_everyFunctionByEveryRole() public {
        _id = _post(_terms());
        _powersWhileOpen();
        _accept();
        _powersWhileRunning();
        _submit(_id, 0, WORD);
        _pin(_id);
        _theSeat = _seat(_id, 0);
        _powersWhileCommitting();
        _commitAll(_id, _vote(950_000));
        bytes memory reveal = _revealOf(_id, 0, _vote(950_000));
        _may(ALL, reveal, "reveal, of who knows the salt");
        _revealAll(_id, _vote(950_000));
        _powersWhileScored();
        skip(_terms().challengeWindow);
        _may(ALL, abi.encodeCall(market.settle, (_terms())), "settle");
        market.settle(_terms());
        _powersWhenSettled();
        assertGt(_tried, 150);
        _costOfGasAlone("using a power one has not");
    }

    function _powersWhileOpen() private {
        _may(R, abi.encodeCall(market.cancel, (_told(_id))), "cancel");
        (Bid[] memory bids, bytes[] memory signatures) = _offers(_id, 1, PRICE);
        _may(R, abi.encodeCall(market.accept, (_terms(), bids, signatures)), "accept");
        _may(0, abi.encodeCall(market.expire, (_told(_id))), "expire, early");
        JobTerms memory other = _terms();
        other.salt = keccak256("another");
        _may(R, abi.encodeCall(market.post, (other)), "post in the requester's name");
    }

    function _powersWhileRunning() private {
        _may(P, abi.encodeCall(market.submit, (_id, 0, WORD)), "submit");
        _may(P, abi.encodeCall(market.demand, (_told(_id), REQUESTER, 0)), "demand training keys");
        _may(0, abi.encodeCall(market.cancel, (_told(_id))), "cancel, late");
        _may(0, abi.encodeCall(market.close, (_id)), "close, early");
        uint256 snapshot = vm.snapshotState();
        vm.prank(providers[0]);
        market.demand(_told(_id), REQUESTER, 0);
        _may(R, abi.encodeCall(market.answer, (_told(_id), REQUESTER, "")), "answer");
        vm.revertToState(snapshot);
    }

    function _powersWhileCommitting() private {
        _may(HOT, abi.encodeCall(market.commit, (_id, 0, WORD)), "commit");
        _may(HOT, abi.encodeCall(market.demand, (_told(_id), 0, 0)), "demand weights");
        _may(0, abi.encodeCall(market.pin, (_id)), "pin, again");
        uint256 snapshot = vm.snapshotState();
        address hot = _hotAt(_id, 0);
        vm.prank(hot);
        market.demand(_told(_id), 0, 0);
        _may(P, abi.encodeCall(market.answer, (_told(_id), 0, "")), "answer for lane 0");
        vm.revertToState(snapshot);
        _may(COLD, abi.encodeCall(market.rotate, (_theSeat, stranger, 0)), "rotate");
        _may(COLD, abi.encodeCall(market.exit, (_theSeat)), "exit");
        _may(0, abi.encodeCall(market.unstake, (_theSeat)), "unstake, early");
    }

    function _powersWhileScored() private {
        _may(R | P, abi.encodeCall(market.appeal, (_told(_id), 1)), "appeal, at a place of another");
        _may(R, abi.encodeCall(market.demand, (_told(_id), 0, 0)), "demand half b");
        _may(P, abi.encodeCall(market.demand, (_told(_id), REQUESTER, 0)), "demand held-out keys");
        _may(0, abi.encodeCall(market.settle, (_terms())), "settle, early");
    }

    function _powersWhenSettled() private {
        bytes[7] memory calls = [
            abi.encodeCall(market.settle, (_terms())),
            abi.encodeCall(market.close, (_id)),
            abi.encodeCall(market.cancel, (_told(_id))),
            abi.encodeCall(market.expire, (_told(_id))),
            abi.encodeCall(market.appeal, (_told(_id), 0)),
            abi.encodeCall(market.submit, (_id, 0, WORD)),
            abi.encodeCall(market.demand, (_told(_id), REQUESTER, 0))
        ];
        for (uint256 i; i < calls.length; ++i) {
            _may(0, calls[i], "anything, once settled");
        }
    }

    /// @dev Exactly the roles in `allowed` may make a call; every try is undone.
    function _may(uint8 allowed, bytes memory call_, string memory what) private {
        address[6] memory roles = [
            requester,
            providers[0],
            market.getSeat(_theSeat).hot,
            market.getSeat(_theSeat).cold,
            stranger,
            address(this)
        ];
        for (uint256 i; i < roles.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            bool isTaken = _tries(roles[i], call_);
            vm.revertToState(snapshot);
            assertEq(isTaken, (allowed >> i) & 1 != 0, string.concat(what, ", role ", vm.toString(i)));
            ++_tried;
        }
    }

    function _accept() private {
        (Bid[] memory bids, bytes[] memory signatures) = _offers(_id, 1, PRICE);
        vm.prank(requester);
        market.accept(_terms(), bids, signatures);
    }
}
